//! The async runtime of one thread, and work that nobody waits for. What runs is boxed before the runtime sees it:
//! it would be compiled into the program once for each kind of work, which costs more than the work itself.

use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::task::JoinHandle;

/// Runs `work` to its end, with timers and I/O.
///
/// # Errors
/// When the kernel gives no runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let mut outcome = None;
    drive(Box::pin(async { outcome = Some(work.await) }))?;
    outcome.ok_or_else(|| io::Error::other("the work has no end"))
}

fn drive(work: Pin<Box<dyn Future<Output = ()> + '_>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    Ok(())
}

/// Lets `work` run beside everything else.
pub(crate) fn beside(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
    tokio::spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gives_back_its_outcome_and_may_leave_more_beside_it() {
        let told = block_on(async {
            let (tell, told) = tokio::sync::oneshot::channel();
            beside(async move { tell.send(7).unwrap() });
            told.await.unwrap()
        });
        assert_eq!(told.unwrap(), 7);
    }
}
