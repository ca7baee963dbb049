//! Faults of Fulcio and of the log while the agent signs: each is told as what it is, nothing is stored without its
//! certificate or its entry, no run is lost, none is marked before it is signed, and none failed before the window ends.

use std::time::Duration;

use crate::agent::{Agent, SOON};
use crate::signing::{Keyless, NAME, Witnesses};
use crate::support::{Door, Hallmark, Passage, PushedImage};

/// What Fulcio says of a token that it cannot verify.
const NO_TOKEN: &str =
    r#"{"code":3,"message":"There was an error processing the identity token","details":[]}"#;
const MINUTE: Duration = Duration::from_mins(1);

/// An agent whose Fulcio is behind the door of [`Keyless`], and whose log is behind another.
struct World {
    keyless: Keyless,
    log: Option<(Witnesses, Door)>,
    _hallmark: Hallmark,
}

impl World {
    async fn of_fulcio(prefix: &str, more: &[(&str, &str)]) -> Self {
        let keyless = Keyless::prepare(prefix, more).await;
        let hallmark = keyless.agent.start().await;
        Self { keyless, log: None, _hallmark: hallmark }
    }

    async fn of_log(prefix: &str, more: &[(&str, &str)]) -> Self {
        let keyless = Keyless::prepare(prefix, &[]).await;
        let witnesses = Witnesses::start(&keyless.fulcio).await;
        let door = Door::before(&witnesses.rekor.url).await;
        let mut settings = witnesses.settings();
        settings.retain(|(key, _)| *key != "transparency.url");
        settings.push(("transparency.url", &door.url));
        settings.extend(more);
        keyless.configure(&settings).await;
        let hallmark = keyless.agent.start().await;
        Self { log: Some((witnesses, door)), keyless, _hallmark: hallmark }
    }

    /// The door that has the fault.
    fn door(&self) -> &Door {
        self.log.as_ref().map_or(&self.keyless.door, |(_, door)| door)
    }

    async fn layers(&self, image: &PushedImage) -> [usize; 2] {
        let access = self.keyless.access();
        [Agent::layers(&access, image, "sig").await, Agent::layers(&access, image, "att").await]
    }

    /// After a run without a fault, one waits and its outcome has these words; nothing is stored. Without the fault it is
    /// signed, once.
    async fn tells(&self, run: &str, fault: Passage, words: &[&str]) {
        self.keyless.build("before").await;
        assert_eq!(self.keyless.agent.mark("before", SOON).await, "true");
        self.door().set(fault);
        let image = self.keyless.build(run).await;
        self.keyless.waits_because(run, words).await;
        assert_eq!(self.layers(&image).await, [0, 0], "nothing without its certificate and its entry");
        self.door().set(Passage::Open);
        assert_eq!(self.keyless.agent.mark(run, 2 * SOON).await, "true");
        assert_eq!(self.layers(&image).await, [1, 1], "and nothing twice");
        if self.log.is_none() {
            assert!(self.keyless.accepts(NAME, &image).await);
        }
    }

    /// For a minute runs complete behind the closed door; not one is marked. Afterwards all are signed.
    async fn bears_a_minute(&self) {
        self.door().set(Passage::Shut);
        let mut images = Vec::new();
        let shut = tokio::time::Instant::now();
        for number in 0..5 {
            let run = format!("run-{number}");
            images.push((self.keyless.build(&run).await, run));
        }
        while shut.elapsed() < MINUTE {
            for (image, run) in &images {
                let annotations = self.keyless.agent.annotations(run).await;
                assert_eq!(
                    annotations.get("chains.tekton.dev/signed"),
                    None,
                    "{run} after {:?}",
                    shut.elapsed()
                );
                assert_eq!(self.layers(image).await, [0, 0]);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        self.door().set(Passage::Open);
        for (image, run) in &images {
            assert_eq!(self.keyless.agent.mark(run, 6 * SOON).await, "true");
            assert_eq!(self.layers(image).await, [1, 1]);
        }
    }

    /// A run whose fault lasts longer than the window is failed, says why, and has left nothing.
    async fn gives_up_after_the_window(&self, words: &[&str]) {
        self.door().set(Passage::Shut);
        let image = self.keyless.build("late").await;
        assert_eq!(self.keyless.agent.mark("late", 3 * SOON).await, "failed");
        let outcome = self.keyless.agent.annotations("late").await["chains.tekton.dev/outcome"].clone();
        assert!(words.iter().all(|word| outcome.contains(word)), "{outcome}");
        assert_eq!(self.layers(&image).await, [0, 0]);
    }

    async fn waits_ten_seconds(&self) {
        self.door().set(Passage::Slow(Duration::from_secs(10)));
        let image = self.keyless.build("slow").await;
        assert_eq!(self.keyless.agent.mark("slow", 3 * SOON).await, "true");
        assert_eq!(self.layers(&image).await, [1, 1]);
    }
}

#[tokio::test]
async fn a_fulcio_that_is_down_is_told_by_its_address() {
    let world = World::of_fulcio("fulcio-down", &[]).await;
    world.tells("down", Passage::Shut, &["cannot reach Fulcio at 127.0.0.1"]).await;
}

#[tokio::test]
async fn a_fulcio_that_is_down_for_a_minute_loses_no_run_and_marks_none_failed_or_signed() {
    World::of_fulcio("fulcio-minute", &[("signing.retry-window", "5m")]).await.bears_a_minute().await;
}

#[tokio::test]
async fn a_fulcio_that_is_down_for_longer_than_the_window_fails_the_run_with_nothing_stored() {
    let world = World::of_fulcio("fulcio-late", &[("signing.retry-window", "5s")]).await;
    world.gives_up_after_the_window(&["cannot reach Fulcio at 127.0.0.1"]).await;
}

#[tokio::test]
async fn a_fulcio_that_takes_ten_seconds_is_waited_for() {
    World::of_fulcio("fulcio-slow", &[]).await.waits_ten_seconds().await;
}

#[tokio::test]
async fn a_fulcio_that_answers_400_is_told_with_the_claims_of_the_token() {
    let world = World::of_fulcio("fulcio-400", &[]).await;
    let words = ["400", "sub system:serviceaccount:tekton-chains", "aud sigstore"];
    world.tells("refused", Passage::Answer(400, NO_TOKEN), &words).await;
}

#[tokio::test]
async fn a_fulcio_that_answers_429_is_asked_again_later() {
    let world = World::of_fulcio("fulcio-429", &[]).await;
    world.tells("throttled", Passage::Answer(429, "slow down"), &["429", "slow down"]).await;
}

#[tokio::test]
async fn a_fulcio_that_answers_500_is_told_with_its_words() {
    let world = World::of_fulcio("fulcio-500", &[]).await;
    let answer = Passage::Answer(500, r#"{"message":"error communicating with CA backend"}"#);
    world.tells("broken", answer, &["500", "error communicating with CA backend"]).await;
}

#[tokio::test]
async fn a_fulcio_that_fails_from_the_start_is_told_with_its_words_too() {
    let world = World::of_fulcio("fulcio-never", &[]).await;
    world.door().set(Passage::Answer(503, r#"{"message":"no database"}"#));
    let image = world.keyless.build("never").await;
    world.keyless.waits_because("never", &["503", "no database"]).await;
    assert_eq!(world.layers(&image).await, [0, 0]);
}

#[tokio::test]
async fn a_rekor_that_is_down_is_told_by_its_address() {
    let world = World::of_log("rekor-down", &[]).await;
    world.tells("down", Passage::Shut, &["Rekor", "127.0.0.1"]).await;
}

#[tokio::test]
async fn a_rekor_that_is_down_for_a_minute_loses_no_run_and_marks_none_failed_or_signed() {
    World::of_log("rekor-minute", &[("signing.retry-window", "5m")]).await.bears_a_minute().await;
}

#[tokio::test]
async fn a_rekor_that_is_down_for_longer_than_the_window_fails_the_run_with_nothing_stored() {
    let world = World::of_log("rekor-late", &[("signing.retry-window", "5s")]).await;
    world.gives_up_after_the_window(&["Rekor"]).await;
}

#[tokio::test]
async fn a_rekor_that_takes_ten_seconds_is_waited_for() {
    World::of_log("rekor-slow", &[]).await.waits_ten_seconds().await;
}

#[tokio::test]
async fn a_rekor_that_answers_400_is_told_with_its_words() {
    let world = World::of_log("rekor-400", &[]).await;
    world
        .tells("refused", Passage::Answer(400, r#"{"message":"not like that"}"#), &["400", "not like that"])
        .await;
}

#[tokio::test]
async fn a_rekor_that_answers_429_is_asked_again_later() {
    let world = World::of_log("rekor-429", &[]).await;
    world.tells("throttled", Passage::Answer(429, "slow down"), &["429"]).await;
}

#[tokio::test]
async fn a_rekor_that_answers_500_is_told_with_its_words() {
    let world = World::of_log("rekor-500", &[]).await;
    world.tells("broken", Passage::Answer(500, r#"{"message":"no space"}"#), &["500", "no space"]).await;
}
