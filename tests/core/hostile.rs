//! A hostile run costs no more than its size, and nothing panics: what is counted is what is made of it, in every format,
//! never the time.

use hallmark::artifact::Artifacts;
use hallmark::payload::{BuildType, Format, Provenance, statement};
use hallmark::tekton::completed::CompletedRun;
use hallmark::tekton::{Run, TaskRun};
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, stopped_well};
use crate::pipeline_run::fixture::{End, reference};
use crate::support::{Access, Completion, eventually};

const FORMATS: [Format; 3] = [Format::InToto, Format::SlsaV2Alpha3, Format::SlsaV2Alpha4];

fn task_run(results: &[Value], more: &Value) -> Value {
    let steps = json!([{"name": "build", "container": "step-build", "results": results.iter().take(50).collect::<Vec<_>>()}]);
    json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "hostile", "namespace": "ci",
        "uid": "u", "labels": {"tekton.dev/pipelineTask": "build"}, "annotations": more["annotations"]},
        "spec": {"params": more["params"], "taskSpec": {"steps": [{"name": "build", "image": "i"}]}},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "steps": steps,
            "completionTime": "2026-01-01T00:00:00Z", "results": results}})
}

/// Everything that is made of a run: bytes of statements, artifacts, and results that cannot be used.
fn made(run: &CompletedRun) -> (usize, usize, usize) {
    let artifacts = Artifacts::of(run);
    let mut bytes = 0;
    for (format, build_type) in FORMATS
        .into_iter()
        .flat_map(|format| [BuildType::Slsa, BuildType::SlsaTekton].map(|kind| (format, kind)))
    {
        let provenance = Provenance { builder_id: "b".into(), build_type, deep_inspection: true };
        // What cannot be stated is refused, which is an answer too.
        bytes += statement(run, format, &provenance).map_or(0, |payload| payload.bytes.len());
    }
    (bytes, artifacts.all().count(), artifacts.unusable.len())
}

fn made_of_task(run: &Value) -> (usize, usize, usize) {
    let bytes = serde_json::to_vec(run).unwrap();
    made(&CompletedRun::prove(Run::from_slice(&bytes).unwrap(), Vec::new()).unwrap())
}

/// The same results in a PipelineRun and in the TaskRuns that it made.
fn made_of_pipeline(results: &[Value], children: usize) -> (usize, usize, usize) {
    let names: Vec<String> = (0..children).map(|number| format!("child-{number}")).collect();
    let references: Vec<Value> = names.iter().map(|name| json!({"kind": "TaskRun", "name": name})).collect();
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "p"}, "spec": {},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results,
            "childReferences": references, "pipelineSpec": {"tasks": [{"name": "build"}]}}});
    let child = |name: &String| {
        let mut child = task_run(results, &json!({}));
        child["metadata"]["name"] = name.as_str().into();
        TaskRun::from_value(child).unwrap()
    };
    made(&CompletedRun::prove(Run::from_value(run).unwrap(), names.iter().map(child).collect()).unwrap())
}

fn string(name: &str, value: &str) -> Value {
    json!({"name": name, "type": "string", "value": value})
}

/// `count` images, no two alike.
fn images(count: usize) -> Vec<Value> {
    let pair = |number| {
        let repository = format!("registry.example/app-{number:06}");
        [
            string(&format!("p{number:06}-IMAGE_URL"), &repository),
            string(&format!("p{number:06}-IMAGE_DIGEST"), &format!("sha256:{number:064x}")),
        ]
    };
    (0..count).flat_map(pair).collect()
}

/// What is made of twice as much is at most a little more than twice as much.
#[track_caller]
fn proportional(once: (usize, usize, usize), twice: (usize, usize, usize)) {
    for (once, twice) in [(once.0, twice.0), (once.1, twice.1), (once.2, twice.2)] {
        assert!(twice <= 2 * once + 4096, "{once} became {twice}");
    }
}

#[test]
fn four_thousand_results_make_twice_what_two_thousand_make() {
    let once = made_of_task(&task_run(&images(1000), &json!({})));
    let twice = made_of_task(&task_run(&images(2000), &json!({})));
    assert_eq!((once.1, twice.1), (1001, 2001), "each image once, and the run");
    proportional(once, twice);
    proportional(made_of_pipeline(&images(100), 5), made_of_pipeline(&images(100), 10));
}

#[test]
fn results_that_cannot_be_used_are_told_once_each() {
    let broken = |count: usize| -> Vec<Value> {
        (0..count).map(|number| string(&format!("{number}-IMAGE_DIGEST"), "sha256:short")).collect()
    };
    let (once, twice) = (
        made_of_task(&task_run(&broken(2000), &json!({}))),
        made_of_task(&task_run(&broken(4000), &json!({}))),
    );
    assert!(twice.2 <= 4000, "{}", twice.2);
    proportional(once, twice);
}

#[test]
fn a_mebibyte_in_one_place_makes_a_few_mebibytes() {
    let large = "ä\u{202e}\u{0}\"\\\u{10ffff}".repeat(1 << 16);
    for run in [
        task_run(&[string("IMAGES", &large)], &json!({})),
        task_run(&[string("IMAGES", &"r.io/a@sha256:".repeat(1 << 16))], &json!({})),
        task_run(&[string("IMAGES", &",".repeat(1 << 20))], &json!({})),
        task_run(&[string("CHAINS-GIT_URL", &large), string("CHAINS-GIT_COMMIT", &large)], &json!({})),
        task_run(&[string(&large, &large)], &json!({})),
        task_run(&[], &json!({"params": [{"name": "p", "value": large}]})),
        task_run(&[], &json!({"annotations": {"a": large}})),
    ] {
        let size = serde_json::to_vec(&run).unwrap().len();
        let (bytes, artifacts, _) = made_of_task(&run);
        // Six statements, each with every byte at most twice and escaped.
        assert!(bytes <= 6 * 2 * 6 * size, "{bytes} of {size}");
        assert!(artifacts <= 2, "{artifacts}");
    }
}

#[test]
fn nesting_duplicates_and_foreign_types_are_no_trouble() {
    let mut nested = json!("end");
    for _ in 0..50 {
        nested = json!({"ARTIFACT_OUTPUTS": [nested]});
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    let duplicates: Vec<Value> =
        (0..4000).flat_map(|_| [string("IMAGE_URL", "r.io/app"), string("IMAGE_DIGEST", &digest)]).collect();
    assert_eq!(made_of_task(&task_run(&duplicates, &json!({}))).1, 2, "one image and the run");
    let odd = [json!(null), json!(1e308), json!([[], {}]), json!({"uri": nested, "digest": nested}), nested];
    for value in odd {
        for name in ["IMAGES", "IMAGE_URL", "x-ARTIFACT_OUTPUTS", "ARTIFACT_INPUTS", "CHAINS-GIT_COMMIT", ""]
        {
            let result = json!({"name": name, "type": "object", "value": value});
            let (bytes, ..) =
                made_of_task(&task_run(&[result.clone(), json!(7), result], &json!({"params": [value]})));
            assert!(bytes < 1 << 20);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_read_is_given_up_with_an_event_and_holds_up_nobody() {
    let nowhere = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None };
    let agent = Agent::prepare("unreadable", &nowhere, &[]).await;
    let hallmark = agent.start().await;
    let mut nested = json!("end");
    for _ in 0..200 {
        nested = json!([nested]);
    }
    agent.cluster.create_task_run(&agent.namespace, "deep").await;
    // By hand, since the client of the tests cannot read it either.
    let status = json!({"status": {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Done"}], "podName": "",
        "results": [{"name": "deep", "value": nested}]}});
    let client = agent.cluster.client().await;
    let path = format!("/apis/tekton.dev/v1/namespaces/{}/taskruns/deep", agent.namespace);
    let request = http::Request::patch(format!("{path}/status"))
        .header("Content-Type", "application/merge-patch+json")
        .body(serde_json::to_vec(&status).unwrap());
    client.request_text(request.unwrap()).await.unwrap();
    agent.cluster.completed_task_run(&agent.namespace, "plain", &Completion::success()).await;
    assert_eq!(agent.mark("plain", SOON).await, "true");
    eventually("the other is given up", SOON, async || {
        let run = client.request_text(http::Request::get(&path).body(Vec::new()).unwrap()).await.unwrap();
        run.contains(r#""chains.tekton.dev/signed":"failed""#).then_some(())
    })
    .await;
    agent.event(&["UnreadableRun", "recursion limit"]).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_that_cannot_be_read_gives_its_pipeline_run_up_and_a_strangers_does_not() {
    let agent = Agent::without_registry("unreadable-child").await;
    let hallmark = agent.start().await;
    let mut nested = json!("end");
    for _ in 0..200 {
        nested = json!([nested]);
    }
    let status = json!({"status": {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Done"}],
        "podName": "", "results": [{"name": "deep", "value": nested}]}});
    let client = agent.cluster.client().await;
    for (owner, of) in [("theirs", "another-uid"), ("ours", "")] {
        let uid = agent.create_pipeline_run(owner).await;
        agent.create_child(owner, if of.is_empty() { &uid } else { of }, "deep").await;
        let path = format!("/apis/tekton.dev/v1/namespaces/{}/taskruns/{owner}-deep/status", agent.namespace);
        let request = http::Request::patch(path)
            .header("Content-Type", "application/merge-patch+json")
            .body(serde_json::to_vec(&status).unwrap());
        client.request_text(request.unwrap()).await.unwrap();
        let child = reference("TaskRun", &format!("{owner}-deep"), "deep");
        agent.end_pipeline_run(owner, End::well(&[child])).await;
    }
    assert_eq!(agent.pipeline_mark("theirs").await, "true");
    assert_eq!(agent.pipeline_mark("ours").await, "failed");
    agent.event(&["UnreadableRun", "a TaskRun of it", "recursion limit"]).await;
    stopped_well(hallmark);
}

#[test]
fn what_is_nested_too_deeply_to_be_read_is_refused() {
    let deep = format!(r#"{{"kind":"TaskRun","status":{}{}}}"#, "[".repeat(1 << 19), "]".repeat(1 << 19));
    assert!(Run::from_slice(deep.as_bytes()).is_err());
}
