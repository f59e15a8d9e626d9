//! Exit codes.

/// How the tool ended. The numbers are documented in the README and tested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Exit {
    /// Everything as expected.
    AsExpected,
    /// Findings, or a result that was not expected.
    Unexpected,
    /// Bad usage or bad input; nothing was run (`lockdep`: what could be read was judged).
    BadInput,
    /// A count or completeness was asked for and a bound cut it.
    Incomplete,
    /// Interrupted; results so far were printed.
    Interrupted,
    /// The tool itself is broken, or could not write its results.
    Internal,
}

impl Exit {
    /// The process's exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Exit::AsExpected => 0,
            Exit::Unexpected => 1,
            Exit::BadInput => 2,
            Exit::Incomplete => 3,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
        }
    }

    /// The code of two things done one after the other: bad input before unexpected results before success.
    #[must_use]
    pub fn and(self, other: Exit) -> Exit {
        let rank = |e: Exit| match e {
            Exit::AsExpected => 0,
            Exit::Incomplete => 1,
            Exit::Unexpected => 2,
            Exit::BadInput => 3,
            Exit::Interrupted => 4,
            Exit::Internal => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
