//! The order of work, and what is remembered.

use super::*;
use crate::tekton::Kind;

fn key(name: &str) -> RunKey {
    RunKey { kind: Kind::TaskRun, namespace: "ci".into(), name: name.into(), uid: format!("uid-{name}") }
}

fn offer(queue: &Queue, name: &str, lane: Lane) {
    queue.offer(key(name), lane, None, Instant::now());
}

async fn taken(queue: &Queue) -> String {
    queue.next().await.unwrap().key.name
}

/// What can be had without waiting.
async fn taken_now(queue: &Queue) -> Option<String> {
    tokio::time::timeout(Duration::from_millis(20), taken(queue)).await.ok()
}

#[tokio::test]
async fn fresh_completions_overtake_the_backlog() {
    let queue = Queue::default();
    for (name, lane) in [("old-1", Lane::Backlog), ("old-2", Lane::Backlog), ("new", Lane::Fresh)] {
        offer(&queue, name, lane);
    }
    assert_eq!([taken(&queue).await, taken(&queue).await, taken(&queue).await], ["new", "old-1", "old-2"]);
}

#[tokio::test]
async fn a_run_of_the_backlog_that_completes_now_becomes_fresh() {
    let queue = Queue::default();
    for name in ["old-1", "old-2"] {
        offer(&queue, name, Lane::Backlog);
    }
    offer(&queue, "old-2", Lane::Fresh);
    assert_eq!([taken(&queue).await, taken(&queue).await], ["old-2", "old-1"]);
    assert_eq!(taken_now(&queue).await, None, "and is not handed out twice");
}

#[tokio::test]
async fn a_run_in_work_is_not_handed_out_again_and_is_looked_at_afterwards() {
    let queue = Queue::default();
    offer(&queue, "a", Lane::Fresh);
    assert_eq!(taken(&queue).await, "a");
    offer(&queue, "a", Lane::Fresh);
    assert_eq!(taken_now(&queue).await, None);
    queue.finished(&key("a"), Next::Done, Instant::now());
    assert_eq!(taken_now(&queue).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_late_event_of_a_finished_run_is_no_new_work() {
    let queue = Queue::default();
    offer(&queue, "a", Lane::Fresh);
    taken(&queue).await;
    queue.finished(&key("a"), Next::Done, Instant::now());
    offer(&queue, "a", Lane::Fresh);
    assert_eq!(taken_now(&queue).await, None);
    queue.offer(key("a"), Lane::Fresh, None, Instant::now() + RECENT_FOR + Duration::from_secs(1));
    assert_eq!(taken_now(&queue).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_run_that_was_held_and_completes_a_moment_later_is_new_work() {
    let queue = Queue::default();
    offer(&queue, "a", Lane::Backlog);
    taken(&queue).await;
    queue.finished(&key("a"), Next::Idle, Instant::now());
    offer(&queue, "a", Lane::Fresh);
    assert_eq!(taken_now(&queue).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_counts_its_attempts() {
    let queue = Queue::default();
    offer(&queue, "a", Lane::Fresh);
    taken(&queue).await;
    queue.finished(&key("a"), Next::After(Duration::from_millis(60)), Instant::now());
    offer(&queue, "a", Lane::Fresh);
    assert_eq!(taken_now(&queue).await, None, "an event does not shorten the wait");
    let job = queue.next().await.unwrap();
    assert_eq!((job.key.name.as_str(), job.attempts), ("a", 1));
}

#[tokio::test]
async fn runs_that_wait_for_a_host_are_released_when_it_answers() {
    let queue = Queue::default();
    for name in ["a", "b"] {
        offer(&queue, name, Lane::Fresh);
        taken(&queue).await;
        queue.finished(&key(name), Next::Host("registry:5000".into()), Instant::now());
    }
    assert_eq!(taken_now(&queue).await, None);
    assert_eq!(queue.awaited_hosts(), ["registry:5000"]);
    queue.host_is_back("other:5000", || Duration::ZERO, Instant::now());
    assert_eq!(taken_now(&queue).await, None);
    queue.host_is_back("registry:5000", || Duration::ZERO, Instant::now());
    assert_eq!([taken(&queue).await, taken(&queue).await], ["a", "b"]);
    assert!(queue.awaited_hosts().is_empty());
}

#[tokio::test]
async fn a_withdrawn_run_is_passed_over_and_costs_nothing() {
    let queue = Queue::default();
    queue.offer(key("a"), Lane::Fresh, Some(Bytes::from_static(b"body")), Instant::now());
    offer(&queue, "b", Lane::Fresh);
    queue.withdraw(&key("a"));
    assert_eq!(taken(&queue).await, "b");
    assert_eq!(queue.state().body_bytes, 0);
    assert_eq!(queue.depth(Lane::Fresh), 1);
}

#[tokio::test]
async fn bodies_over_the_budget_are_dropped_and_the_run_is_kept() {
    let queue = Queue::default();
    let large = Bytes::from(vec![0; BODY_BUDGET / 2 + 1]);
    queue.offer(key("a"), Lane::Fresh, Some(large.clone()), Instant::now());
    queue.offer(key("b"), Lane::Fresh, Some(large), Instant::now());
    assert!(queue.next().await.unwrap().body.is_some());
    assert!(queue.next().await.unwrap().body.is_none());
    assert_eq!(queue.state().body_bytes, 0);
}

#[tokio::test]
async fn a_closed_queue_ends_every_worker() {
    let queue = std::sync::Arc::new(Queue::default());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let queue = std::sync::Arc::clone(&queue);
        workers.spawn(async move { queue.next().await.is_none() });
    }
    queue.close();
    assert_eq!(workers.join_all().await, [true; 4]);
}

#[test]
fn the_list_of_finished_runs_is_bounded() {
    let mut state = State::default();
    let now = Instant::now();
    for number in 0..10_000 {
        state.remember(&key(&number.to_string()), now);
    }
    assert_eq!(state.recent.len(), RECENT);
    assert_eq!(state.recent_keys.len(), RECENT);
}
