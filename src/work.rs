//! Work that takes long enough for others to notice.

/// From how many bytes on reading and changing data keeps a thread busy for too long.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;

/// Does something with so many bytes. Where they are many, other calls do not wait for this thread meanwhile.
pub(crate) fn work_on<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let may_leave = || match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread,
        Err(_) => false,
    };
    if bytes < LARGE_BYTES || !may_leave() {
        return work();
    }
    tokio::task::block_in_place(work)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn much_data_stops_no_other_call() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (sender, receiver) = mpsc::channel();
        let wait = move || work_on(LARGE_BYTES, || receiver.recv_timeout(Duration::from_secs(20)));
        let waiting = runtime.spawn(async move { wait() });
        runtime.spawn(async move { sender.send(()) });
        assert_eq!(runtime.block_on(waiting).unwrap(), Ok(()), "the other call had a thread");
    }
}
