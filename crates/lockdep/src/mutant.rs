//! Deliberate errors, to show that the tests would notice them. Compiled in for the crate's own tests, and with the
//! feature `mutants`; without either, [`Switch::on`] is the constant `false`.

/// One deliberate error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    any(test, feature = "mutants"),
    expect(missing_docs, reason = "the names are the rows of the table of errors")
)]
#[cfg_attr(not(any(test, feature = "mutants")), expect(unreachable_pub, reason = "public with the feature"))]
pub enum Mutant {
    SharedReadIsRecursive,
    ChainKeyIgnoresRead,
    ChainNotCutAtIrqContext,
    HeldLocksNotMarkedWhenIrqsTurnOn,
    NoSafeToUnsafeCheckOnNewEdge,
    NoSearchOnNewUsageBit,
    CycleMatchIgnoresStrength,
    SearchIgnoresMasking,
    IrqMatchIgnoresOnlyXr,
    TrylockAddsDependencies,
    OnlyThePreviousLockGetsAnEdge,
    PercpuNotSkipped,
    WaitTypesLookAcrossIrqContexts,
    WaitOuterIgnored,
    ThreadedHardirqNotTold,
    NestLockDoesNotExcuse,
    NoReferenceMerging,
    NestLockNotHeldUnchecked,
    OutOfOrderReleaseDoesNotRevalidate,
    ReleaseSearchesPastIrqContext,
    BackwardEdgesWithForwardKinds,
    UncheckedLocksCreateDependencies,
    SoftirqNotMarkedWhenHardirqsTurnOn,
}

#[cfg(any(test, feature = "mutants"))]
impl Mutant {
    /// Every error there is.
    pub const ALL: [Self; 23] = [
        Self::SharedReadIsRecursive,
        Self::ChainKeyIgnoresRead,
        Self::ChainNotCutAtIrqContext,
        Self::HeldLocksNotMarkedWhenIrqsTurnOn,
        Self::NoSafeToUnsafeCheckOnNewEdge,
        Self::NoSearchOnNewUsageBit,
        Self::CycleMatchIgnoresStrength,
        Self::SearchIgnoresMasking,
        Self::IrqMatchIgnoresOnlyXr,
        Self::TrylockAddsDependencies,
        Self::OnlyThePreviousLockGetsAnEdge,
        Self::PercpuNotSkipped,
        Self::WaitTypesLookAcrossIrqContexts,
        Self::WaitOuterIgnored,
        Self::ThreadedHardirqNotTold,
        Self::NestLockDoesNotExcuse,
        Self::NoReferenceMerging,
        Self::NestLockNotHeldUnchecked,
        Self::OutOfOrderReleaseDoesNotRevalidate,
        Self::ReleaseSearchesPastIrqContext,
        Self::BackwardEdgesWithForwardKinds,
        Self::UncheckedLocksCreateDependencies,
        Self::SoftirqNotMarkedWhenHardirqsTurnOn,
    ];
}

/// Which error is switched on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switch {
    #[cfg(any(test, feature = "mutants"))]
    pub(crate) mutant: Option<Mutant>,
}

impl Switch {
    #[inline(always)]
    pub(crate) fn on(self, mutant: Mutant) -> bool {
        #[cfg(any(test, feature = "mutants"))]
        return self.mutant == Some(mutant);
        #[cfg(not(any(test, feature = "mutants")))]
        {
            let _ = mutant;
            false
        }
    }

    /// Whether the search structures that assume correct rules must be left out of the way.
    #[inline(always)]
    pub(crate) fn searches_plainly(self) -> bool {
        [
            Mutant::CycleMatchIgnoresStrength,
            Mutant::SearchIgnoresMasking,
            Mutant::IrqMatchIgnoresOnlyXr,
            Mutant::PercpuNotSkipped,
            Mutant::BackwardEdgesWithForwardKinds,
        ]
        .into_iter()
        .any(|mutant| self.on(mutant))
    }
}
