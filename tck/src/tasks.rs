//! Tasks beside each other, of which none is lost without a word: where the kit itself panics, somebody is told.

use futures_util::FutureExt as _;
use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::{JoinError, JoinSet};

/// Runs jobs side by side. For each, `done` is told the result, or why there is none.
pub async fn side_by_side<J, T: Send + 'static>(
    jobs: impl IntoIterator<Item = (J, impl Future<Output = T> + Send + 'static)>,
    done: &mut dyn FnMut(J, Result<T, String>),
) {
    let mut running = JoinSet::new();
    let mut open = HashMap::new();
    for (job, work) in jobs {
        open.insert(running.spawn(work).id(), job);
    }
    while let Some(joined) = running.join_next_with_id().await {
        let (id, ended) = match joined {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(lost(error))),
        };
        if let Some(job) = open.remove(&id) {
            done(job, ended);
        }
    }
}

/// Runs one job as a task of its own, so that its panic is not the caller's.
pub async fn apart<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut result = None;
    side_by_side([((), work)], &mut |(), ended| result = Some(ended)).await;
    result.unwrap_or_else(|| Err(CANCELLED.to_owned()))
}

const CANCELLED: &str = "the kit gave it up before it was over";

fn lost(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => words(&*panic),
        Err(_) => CANCELLED.to_owned(),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the kit panicked: {}", text.unwrap_or("no message"))
}

/// The panics of tasks in the background. Who depends on such a task asks here before it trusts a silence.
#[derive(Clone, Debug, Default)]
pub struct Panics(Arc<Mutex<Vec<String>>>);

impl Panics {
    /// Does the work, and remembers if it panics.
    pub async fn watch<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => Some(result),
            Err(panic) => {
                self.all().push(words(&*panic));
                None
            }
        }
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// The first after so many.
    pub fn after(&self, count: usize) -> Option<String> {
        self.all().get(count).cloned()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn work(number: usize) -> usize {
        assert_ne!(number, 2, "two is too much");
        if number == 3 {
            std::panic::panic_any(3_u8);
        }
        number
    }

    #[tokio::test]
    async fn every_job_ends_with_its_result_or_with_its_panic() {
        let mut ended = Vec::new();
        let jobs = (0..5).map(|number| (number, work(number)));
        side_by_side(jobs, &mut |job, result| ended.push((job, result))).await;
        ended.sort_by_key(|(job, _)| *job);
        let results: Vec<_> = ended.iter().map(|(_, result)| result.as_ref()).collect();
        let [Ok(0), Ok(1), Err(two), Err(three), Ok(4)] = results.as_slice() else {
            panic!("{ended:?}");
        };
        assert!(two.starts_with("the kit panicked: "), "{two}");
        assert!(two.contains("two is too much"), "{two}");
        assert_eq!(*three, "the kit panicked: no message");
    }

    #[tokio::test]
    async fn a_panic_apart_is_an_error() {
        assert_eq!(apart(work(1)).await, Ok(1));
        let error = apart(work(2)).await.unwrap_err();
        assert!(error.contains("two is too much"), "{error}");
    }

    #[tokio::test]
    async fn a_panic_in_the_background_is_remembered() {
        let panics = Panics::default();
        assert_eq!(panics.clone().watch(work(1)).await, Some(1));
        assert_eq!((panics.count(), panics.after(0)), (0, None));
        assert_eq!(panics.clone().watch(work(2)).await, None);
        assert_eq!(panics.count(), 1);
        assert!(
            panics
                .after(0)
                .is_some_and(|text| text.contains("two is too much"))
        );
        assert_eq!(panics.after(1), None);
    }
}
