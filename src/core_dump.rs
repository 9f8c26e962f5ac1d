//! No core files: one would hold keys, and whatever value was just on its way.

/// Has the system write no core file of this process, and keep others of the same user from looking into its memory. On
/// Linux alone: elsewhere what the system is set to holds.
pub fn forbid() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a core file of this process would hold keys, and cannot be forbidden");
    }
}
