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
    queue.offer(key("a"), Lane::Fresh, None, Instant::now() + recent::FOR + Duration::from_secs(1));
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
        queue.finished(&key(name), Next::Host("registry:5000".into(), LONG), Instant::now());
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
    let large = Bytes::from(vec![0; state::BODY_BUDGET / 2 + 1]);
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

const LONG: Duration = Duration::from_mins(1);

fn wait_for(queue: &Queue, children: &[&str], at_most: Duration) {
    let names = children.iter().map(|name| (*name).to_owned()).collect();
    queue.finished(&key("release"), Next::Children(names, at_most), Instant::now());
}

#[tokio::test]
async fn a_pipeline_run_is_woken_by_the_last_of_its_children_once() {
    let queue = Queue::default();
    offer(&queue, "release", Lane::Fresh);
    taken(&queue).await;
    wait_for(&queue, &["a", "b"], LONG);
    queue.child_ended(&key("release"), "a");
    queue.child_ended(&key("release"), "a");
    queue.child_ended(&key("release"), "foreign");
    queue.child_ended(&key("other"), "b");
    assert_eq!(taken_now(&queue).await, None, "b still runs");
    queue.child_ended(&key("release"), "b");
    let job = queue.next().await.unwrap();
    assert_eq!((job.key.name.as_str(), job.attempts), ("release", 0), "waiting is no attempt");
    queue.finished(&key("release"), Next::Done, Instant::now());
    assert_eq!(taken_now(&queue).await, None);
    assert!(queue.state().due.is_empty(), "nothing is left of the wait");
}

#[tokio::test]
async fn a_child_that_ends_while_its_pipeline_run_is_looked_at_is_not_missed() {
    let queue = Queue::default();
    offer(&queue, "release", Lane::Fresh);
    taken(&queue).await;
    queue.child_ended(&key("release"), "a");
    wait_for(&queue, &["a"], LONG);
    assert_eq!(taken_now(&queue).await.as_deref(), Some("release"));
}

#[tokio::test]
async fn the_wait_for_children_is_bounded() {
    let queue = Queue::default();
    offer(&queue, "release", Lane::Fresh);
    taken(&queue).await;
    wait_for(&queue, &["never"], Duration::from_millis(1));
    assert_eq!(taken(&queue).await, "release");
}

#[tokio::test]
async fn a_child_does_not_cut_short_the_pause_after_a_failure() {
    let queue = Queue::default();
    offer(&queue, "release", Lane::Fresh);
    taken(&queue).await;
    wait_for(&queue, &["a"], Duration::from_millis(1));
    taken(&queue).await;
    queue.finished(&key("release"), Next::After(LONG), Instant::now());
    queue.child_ended(&key("release"), "a");
    assert_eq!(taken_now(&queue).await, None);
}

#[tokio::test]
async fn the_wait_for_a_host_is_bounded_and_who_waits_no_more_keeps_nobody_probing() {
    let queue = Queue::default();
    for (name, at_most) in [("a", Duration::from_millis(1)), ("b", LONG)] {
        offer(&queue, name, Lane::Fresh);
        taken(&queue).await;
        queue.finished(&key(name), Next::Host("registry:5000".into(), at_most), Instant::now());
    }
    assert_eq!(taken(&queue).await, "a", "its window has passed");
    queue.finished(&key("a"), Next::Done, Instant::now());
    assert_eq!(queue.awaited_hosts(), ["registry:5000"]);
    queue.withdraw(&key("b"));
    assert!(queue.awaited_hosts().is_empty());
}

#[tokio::test]
async fn a_run_that_waits_is_woken_once_and_one_that_was_given_up_is_taken_up_again() {
    let queue = Queue::default();
    for name in ["waits", "given-up", "other"] {
        offer(&queue, name, Lane::Fresh);
        taken(&queue).await;
    }
    let hour = Next::After(Duration::from_hours(1));
    queue.finished(&key("waits"), hour.clone(), Instant::now());
    queue.finished(&key("other"), hour, Instant::now());
    queue.finished(&key("given-up"), Next::Done, Instant::now());
    assert_eq!(taken_now(&queue).await, None);
    queue.wake(&[key("waits"), key("given-up")].into(), || Duration::ZERO, Instant::now());
    queue.withdraw(&key("given-up"));
    let mut jobs = [queue.next().await.unwrap(), queue.next().await.unwrap()];
    jobs.sort_by(|left, right| left.key.cmp(&right.key));
    let seen = jobs.each_ref().map(|job| (job.key.name.as_str(), job.reopened, job.attempts));
    assert_eq!(seen, [("given-up", true, 1), ("waits", false, 1)]);
    assert_eq!(taken_now(&queue).await, None, "the time at which it would have come up by itself is gone");
    queue.finished(&key("given-up"), Next::Done, Instant::now());
    assert_eq!(queue.depth(Lane::Backlog), 0);
}

#[tokio::test]
async fn what_is_queued_or_worked_on_is_not_woken() {
    let queue = Queue::default();
    offer(&queue, "queued", Lane::Fresh);
    queue.wake(&[key("queued")].into(), || Duration::ZERO, Instant::now());
    assert_eq!(taken(&queue).await, "queued");
    queue.wake(&[key("queued")].into(), || Duration::ZERO, Instant::now());
    assert_eq!(taken_now(&queue).await, None);
}

#[tokio::test]
async fn the_census_tells_what_is_pending_by_age_and_by_what_it_waits_for() {
    let (queue, start) = (Queue::default(), Instant::now());
    let later = |seconds| start + Duration::from_secs(seconds);
    for (number, name) in ["away", "parent", "again", "working"].into_iter().enumerate() {
        queue.offer(key(name), Lane::Fresh, None, later(number as u64));
    }
    queue.offer(key("old"), Lane::Backlog, None, later(4));
    let hour = Duration::from_hours(1);
    for next in [
        Next::Host("registry".into(), hour),
        Next::Children(BTreeSet::from(["child".to_owned()]), hour),
        Next::After(hour),
    ] {
        let taken = queue.next().await.unwrap().key;
        queue.finished(&taken, next, start);
    }
    let _working = queue.next().await.unwrap();
    let expected = Census {
        fresh: (4, Duration::from_secs(9)),
        backlog: (1, Duration::from_secs(5)),
        host: 1,
        children: 1,
        retry: 1,
        turn: 2,
        hosts_away: 1,
    };
    assert_eq!(queue.census(later(9)), expected);
}

#[tokio::test]
async fn of_the_backlog_those_that_ended_last_go_first_and_those_of_one_moment_in_their_order() {
    let queue = Queue::default();
    let at = |second: i64| Timestamp::from_second(second).ok();
    for (name, completed) in [("b", at(2)), ("unknown", None), ("c", at(3)), ("c-2", at(3)), ("a", at(1))] {
        queue.offer_old(key(name), completed, Instant::now());
    }
    offer(&queue, "new", Lane::Fresh);
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(taken(&queue).await);
    }
    assert_eq!(order, ["new", "c", "c-2", "b", "a", "unknown"]);
}
