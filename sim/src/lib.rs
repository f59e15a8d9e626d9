//! The command line tool
