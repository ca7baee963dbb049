//! Compares statements about generated runs with those that Chains' own code makes of them. The runs come from
//! a fixed seed, and each choice of the generator counts the rule that it exercises.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::comparison::{differences, normal};
use crate::generator::Generator;
use hallmark::artifact::Artifacts;
use hallmark::payload::{BuildType, Format, Provenance, statement};
use hallmark::tekton::completed::CompletedRun;
use hallmark::tekton::{Run, TaskRun};

const RUNS: u64 = 500;
const FORMATS: [&str; 3] = ["slsa/v1", "slsa/v2alpha3", "slsa/v2alpha4"];

fn questions(generator: &mut Generator) -> Vec<Value> {
    let mut questions = Vec::new();
    for number in 0..RUNS {
        let (run, children) = generator.run(number);
        for format in FORMATS {
            for build_type in [BuildType::Slsa, BuildType::SlsaTekton] {
                let deep = if number.is_multiple_of(2) { "true" } else { "false" };
                questions.push(json!({"run": run, "children": children, "config": {
                    "artifacts.taskrun.format": format, "artifacts.pipelinerun.format": format,
                    "artifacts.pipelinerun.enable-deep-inspection": deep,
                    "builddefinition.buildtype": build_type.as_str(), "builder.id": "https://example.com/builder"}}));
            }
        }
    }
    questions
}

pub fn ours(question: &Value) -> (Value, Vec<String>) {
    let child = |child: &Value| TaskRun::from_value(child.clone()).unwrap();
    let children = question["children"].as_array().unwrap().iter().map(child).collect();
    let completed = CompletedRun::suppose(Run::from_value(question["run"].clone()).unwrap(), children);
    let setting = |key: &str| question["config"][key].as_str().unwrap();
    let provenance = Provenance {
        builder_id: setting("builder.id").to_owned(),
        build_type: BuildType::parse(setting("builddefinition.buildtype")).unwrap(),
        deep_inspection: setting("artifacts.pipelinerun.enable-deep-inspection") == "true",
    };
    let format = Format::parse(setting("artifacts.taskrun.format")).unwrap();
    let payload = statement(&completed, format, &provenance).unwrap();
    let images = match completed.run() {
        Run::Task(_) => Artifacts::of(&completed).images,
        // Those of a PipelineRun are no artifacts for the peer, though it finds them.
        Run::Pipeline(_) => Vec::new(),
    };
    (serde_json::from_slice(&payload.bytes).unwrap(), sorted(images.iter().map(ToString::to_string)))
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}

/// The version of the peer that is the oracle, v0.28.1, does not know `StepActions` as dependencies yet; the
/// version that Hallmark follows does.
pub fn without_step_actions(mut statement: Value) -> Value {
    let dependencies = statement.pointer_mut("/predicate/buildDefinition/resolvedDependencies");
    if let Some(dependencies) = dependencies.and_then(Value::as_array_mut) {
        let action =
            |entry: &Value| entry["name"].as_str().is_some_and(|name| name.starts_with("stepAction/"));
        dependencies.retain(|entry| !action(entry));
    }
    statement
}

/// A thread asks the questions, so that neither side waits for the other on a full pipe.
fn theirs(questions: &[Value]) -> Vec<Value> {
    let program =
        std::env::var_os("HALLMARK_ORACLE").expect("HALLMARK_ORACLE names the program of hack/oracle");
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<u8> = questions.iter().flat_map(|question| format!("{question}\n").into_bytes()).collect();
    let writer = std::thread::spawn(move || input.write_all(&lines).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
#[ignore = "needs the peer's code: build hack/oracle and set HALLMARK_ORACLE"]
fn generated_runs_are_stated_as_the_peer_states_them() {
    let mut generator = Generator::new(20_260_101);
    let questions = questions(&mut generator);
    let answers = theirs(&questions);
    assert_eq!(answers.len(), questions.len());
    let mut wrong = Vec::new();
    for (question, answer) in questions.iter().zip(&answers) {
        let (statement, images) = ours(question);
        let mut found = Vec::new();
        differences(
            "",
            &normal(without_step_actions(statement)),
            &normal(answer["statement"].clone()),
            &mut found,
        );
        if question["run"]["kind"] == "TaskRun" {
            let theirs = answer["images"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|image| image.as_str().unwrap().to_owned());
            let theirs = sorted(theirs.filter(|image| !image.contains("://")));
            differences("images", &json!(images), &json!(theirs), &mut found);
        }
        if !found.is_empty() {
            wrong.push(format!(
                "{} {}\n{} {}",
                question["run"],
                question["config"],
                answer["error"],
                found.join("\n")
            ));
        }
    }
    let unused: Vec<_> = generator.rules().filter(|(_, hits)| *hits == 0).collect();
    report(&generator);
    assert!(wrong.is_empty(), "{} of {} differ, the first:\n{}", wrong.len(), questions.len(), wrong[0]);
    assert!(unused.is_empty(), "rules that no run exercised: {unused:?}");
}

fn report(generator: &Generator) {
    for (rule, hits) in generator.rules() {
        println!("{hits:5} runs: {rule}");
    }
}
