//! What the program's exit codes mean. They are part of its interface: scripts may rely on them.

/// How a run of the program ended. Numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was checked is as the specification says.
    Pass = 0,
    /// The system under test broke a MUST, or a waiver is stale: what it excuses passes, or it matches nothing.
    Fail = 1,
    /// Nothing failed, but of some scenario it can't be told who is to blame.
    Inconclusive = 2,
    /// In some role no scenario was played that could be, or the function announces nothing that the kit knows, or no
    /// scenario checked a requirement.
    NothingChecked = 4,
    /// Wrong arguments, or a file that can't be read.
    Usage = 64,
    /// The system under test can't be reached, or didn't start.
    Unreachable = 69,
    /// The kit or its surroundings failed. Says nothing about the system under test.
    KitFault = 70,
}

impl ExitCode {
    /// All of them, by number.
    pub const ALL: [ExitCode; 7] = [
        ExitCode::Pass,
        ExitCode::Fail,
        ExitCode::Inconclusive,
        ExitCode::NothingChecked,
        ExitCode::Usage,
        ExitCode::Unreachable,
        ExitCode::KitFault,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// One line for `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            ExitCode::Pass => "pass",
            ExitCode::Fail => {
                "a MUST is broken, or a waiver matches nothing or something that passes"
            }
            ExitCode::Inconclusive => {
                "inconclusive: nothing failed, but blame can't be told everywhere"
            }
            ExitCode::NothingChecked => "nothing was checked",
            ExitCode::Usage => "wrong arguments or files",
            ExitCode::Unreachable => "the system under test can't be reached or didn't start",
            ExitCode::KitFault => {
                "fault of the kit or its surroundings, not of the system under test"
            }
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code.code())
    }
}
