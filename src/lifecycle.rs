//! How far a process is on its way from start to end.

/// Only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Keys and revocations are being loaded: nothing is accepted yet.
    Starting,
    Serving,
    /// Not ready, but still accepting: whoever routes here has not heard yet.
    Draining,
    /// Accepts nothing more; ends when what is in flight has ended.
    Stopping,
}
