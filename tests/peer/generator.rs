//! Makes runs of every shape out of a seed. It leaves out what Hallmark does otherwise on purpose: steps without
//! an image, git hints with blanks or without a URL, marks that signing left on the run.

mod results;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use rules::RULES;

const SHA: [&str; 3] = [
    "sha256:05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5",
    "sha256:586789aa031fafc7d78a5393cdc772e0b55107ea54bb8bcf3f2cdac6c6da51ee",
    "sha256:827521c857fdcd4374f4da5442fbae2edb01e7fbae285c3ec15673d4c1daecb7",
];
const SHA1: &str = "sha1:7f2f46e1b97df36b2b82d1b1d87c81b8b3d21601";
const START: &str = "2026-01-02T03:04:05Z";
const END: &str = "2026-01-02T03:14:05Z";

pub struct Generator {
    state: u64,
    hits: BTreeMap<&'static str, u64>,
    /// Rules that the run at hand exercised.
    current: BTreeSet<&'static str>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, hits: RULES.map(|rule| (rule, 0)).into(), current: BTreeSet::new() }
    }

    pub fn rules(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.hits.iter().map(|(rule, hits)| (*rule, *hits))
    }

    /// A run and its children.
    pub fn run(&mut self, number: u64) -> (Value, Vec<Value>) {
        let made = if self.chance(2) {
            (self.task_run(&format!("run-{number}"), None), vec![])
        } else {
            self.pipeline_run(number)
        };
        for rule in std::mem::take(&mut self.current) {
            *self.hits.get_mut(rule).unwrap() += 1;
        }
        made
    }

    fn task_run(&mut self, name: &str, task: Option<&str>) -> Value {
        let mut metadata = self.metadata(name);
        if let Some(task) = task {
            metadata["labels"]["tekton.dev/pipelineTask"] = task.into();
        }
        let mut spec = json!({"params": self.params(), "taskRef": self.reference("task")});
        self.settings(&mut spec);
        self.workspaces(&mut spec);
        if self.chance(2) {
            spec["serviceAccountName"] = "builder".into();
        }
        let (steps, definitions) = self.steps(task.is_some());
        let mut status = self.status();
        status["podName"] = format!("{name}-pod").into();
        status["steps"] = steps;
        status["taskSpec"] = json!({"params": self.definitions_of_params(), "steps": definitions});
        if self.chance(3) {
            self.hit("3.5 sidecar");
            status["sidecars"] = json!([{"name": "side", "imageID": format!("r.io/side@{}", self.sha())}]);
        }
        json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": metadata, "spec": spec, "status": status})
    }

    fn pipeline_run(&mut self, number: u64) -> (Value, Vec<Value>) {
        let mut children = Vec::new();
        let mut spec = json!({"params": self.params(), "pipelineRef": self.reference("pipeline")});
        let mut template = Value::Object(Map::new());
        self.settings(&mut template);
        template["serviceAccountName"] = "builder".into();
        if let Some(timeout) = template.as_object_mut().unwrap().remove("timeout") {
            spec["timeouts"] = json!({"pipeline": timeout});
        }
        spec["taskRunTemplate"] = template;
        let mut status = self.status();
        let mut tasks = Vec::new();
        for index in 0..=self.below(3) {
            let name = format!("task-{index}");
            tasks.push(self.pipeline_task(&name, index));
            self.children(number, &name, &mut children);
        }
        let mut definition = json!({"params": self.definitions_of_params(), "tasks": tasks});
        if self.chance(3) {
            self.hit("3.6 finally");
            definition["finally"] = json!([self.pipeline_task("last", 0)]);
            self.children(number, "last", &mut children);
        }
        if self.chance(8) {
            self.hit("3.6 pipeline never known");
        } else {
            spec["pipelineSpec"] = definition.clone();
            status["pipelineSpec"] = definition;
        }
        if number.is_multiple_of(2) {
            self.hit("3.6 deep inspection");
        }
        status["childReferences"] = children
            .iter()
            .map(|child| json!({"kind": "TaskRun", "name": child["metadata"]["name"]}))
            .collect();
        let metadata = self.metadata(&format!("run-{number}"));
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": spec, "status": status});
        (run, children)
    }

    fn children(&mut self, number: u64, task: &str, children: &mut Vec<Value>) {
        let runs = self.below(4);
        if runs > 1 {
            self.hit("3.6 several runs of one task");
        }
        for index in 0..runs {
            let mut child = self.task_run(&format!("run-{number}-{task}-{index}"), Some(task));
            if self.chance(6) {
                self.hit("3.6 child that did not end");
                child["status"].as_object_mut().unwrap().remove("completionTime");
            }
            children.push(child);
        }
    }

    fn pipeline_task(&mut self, name: &str, index: u64) -> Value {
        let mut task = json!({"name": name});
        if self.chance(2) {
            self.hit("4.2 embedded task");
            task["taskSpec"] =
                json!({"steps": [{"name": "s", "image": "r.io/tool", "script": "echo '<&>'"}]});
        } else {
            task["taskRef"] = self.reference("task");
        }
        if index > 0 && self.chance(2) {
            self.hit("4.2 reference to a result");
            match self.below(4) {
                0 => {
                    task["params"] =
                        json!([{"name": "p", "value": "x $(tasks.task-0.results.r) $(params.q)"}]);
                }
                1 => task["params"] = json!([{"name": "p", "value": ["$(tasks.task-0.results.r[*])"]}]),
                2 => {
                    task["when"] = json!([{"input": "$(tasks.task-0.results.r.key)", "operator": "in", "values": ["a"]}]);
                }
                _ => {
                    task["matrix"] =
                        json!({"params": [{"name": "p", "value": ["$(tasks.task-0.results.r[1])"]}]});
                }
            }
        }
        if self.chance(4) {
            task["runAfter"] = json!(["task-0"]);
        }
        task
    }

    fn metadata(&mut self, name: &str) -> Value {
        let mut metadata = json!({"name": name, "namespace": "build", "uid": format!("uid-{}", self.below(1 << 40)),
            "labels": {}, "annotations": {}, "creationTimestamp": START});
        if self.chance(2) {
            self.hit("4.2 annotations and labels");
            metadata["labels"] = json!({"app": "x", "a.b/c": "d"});
            metadata["annotations"] = json!({"mine": "<yes>", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "chains.tekton.dev/transparency-upload": "true"});
        }
        if self.chance(8) {
            self.hit("4.2 reproducible");
            metadata["labels"]["chains.tekton.dev/reproducible"] = "true".into();
        }
        for name in ["labels", "annotations"] {
            if metadata[name].as_object().unwrap().is_empty() {
                metadata.as_object_mut().unwrap().remove(name);
            }
        }
        metadata
    }

    fn reference(&mut self, name: &str) -> Value {
        match self.below(4) {
            0 => {
                self.hit("4.3 resolver");
                json!({"resolver": "git", "params": [{"name": "url", "value": "https://example.com/x"}], "bundle": "gone"})
            }
            1 => {
                self.hit("4.3 cluster resolver");
                json!({"resolver": "Cluster", "name": name})
            }
            _ => json!({"name": name, "kind": "Task"}),
        }
    }

    fn settings(&mut self, spec: &mut Value) {
        if self.chance(4) {
            self.hit("4.3 duration");
            spec["timeout"] = self.pick(&["1h", "90m", "1h30m0s", "500ms", "0s"]).into();
        }
        if self.chance(4) {
            self.hit("4.3 unknown field");
            spec["unheardOf"] = json!({"a": 1});
        }
        if self.chance(4) {
            self.hit("4.3 pod template");
            spec["podTemplate"] = json!({"nodeSelector": {"a": "b"}, "securityContext": {"runAsUser": 0, "runAsNonRoot": false},
                "tolerations": [{"key": "k", "operator": "Exists"}], "volumes": [{"name": "v", "emptyDir": {}},
                    {"name": "w", "emptyDir": {"sizeLimit": "1Gi"}}], "env": [{"name": "A", "value": ""}]});
        }
    }

    fn workspaces(&mut self, spec: &mut Value) {
        if self.chance(4) {
            self.hit("4.3 workspaces");
            spec["workspaces"] = json!([{"name": "a", "emptyDir": {}}, {"name": "b", "subPath": "x", "secret": {"secretName": "s",
                "items": [{"key": "k", "path": "p", "mode": 256}]}}, {"name": "c", "volumeClaimTemplate": {"metadata": {"name": "t"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi", "other": 1}}}}},
                {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"audience": "a", "path": "p"}}]}}]);
        }
        if self.chance(4) {
            self.hit("4.3 embedded task of every field");
            spec["taskSpec"] = json!({"description": "", "params": [{"name": "p", "enum": ["a"], "properties": {"k": {}}}],
                "stepTemplate": {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
                "volumes": [{"name": "v", "configMap": {"name": "c", "optional": false}}, {"name": "h", "hostPath": {"path": "/"}}],
                "steps": [{"name": "s", "image": "i", "onError": "continue", "timeout": "60s", "ref": {"name": "action"},
                    "computeResources": {"limits": {"cpu": "500m"}}, "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": false}],
                    "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"]}}, "results": [{"name": "r", "type": "string"}],
                    "when": [{"input": "a", "operator": "in", "values": []}]}],
                "sidecars": [{"name": "x", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": "http", "path": "/"}},
                    "livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 0}}],
                "workspaces": [{"name": "w", "readOnly": true}], "results": [{"name": "r", "value": "v", "properties": {}}]});
        }
    }

    fn status(&mut self) -> Value {
        let outcome = self.pick(&["True", "False"]);
        let mut status = json!({"conditions": [{"type": "Succeeded", "status": outcome, "reason": "x", "lastTransitionTime": END}],
            "startTime": START, "completionTime": END, "results": self.results()});
        if self.chance(2) {
            status["provenance"] = json!({"refSource": {"uri": "git+https://example.com/x.git",
                "digest": {"sha1": "abc"}, "entryPoint": "task.yaml"}});
        }
        if self.chance(4) {
            self.hit("4.3 feature flags");
            status["provenance"]["featureFlags"] = json!({"EnableAPIFields": "beta", "maxResultSize": 4096,
                "awaitSidecarReadiness": true, "SetSecurityContext": false});
        }
        status
    }

    fn steps(&mut self, in_pipeline: bool) -> (Value, Value) {
        let (mut steps, mut definitions) = (Vec::new(), Vec::new());
        for index in 0..=self.below(3) {
            let prefix = self.pick(&["", "docker-pullable://"]);
            let mut step = json!({"name": format!("s{index}"), "container": format!("step-s{index}"),
                "imageID": format!("{prefix}r.io/tool{}@{}", self.below(2), self.sha()),
                "terminated": {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": END}});
            if self.chance(3) {
                self.hit("3.5 results of steps");
                step["results"] = self.results();
            }
            if self.chance(4) {
                self.hit("4.3 remote StepAction");
                step["provenance"] = json!({"refSource": {"uri": "git+https://example.com/action.git", "digest": {"sha1": "def"}}});
            }
            let mut definition = json!({"name": format!("s{index}"), "image": "r.io/tool", "command": ["a", "b"], "args": ["<c>"]});
            if self.chance(2) {
                self.hit("4.2 script");
                definition["script"] = "#!/bin/sh\necho \"a && b\"".into();
            }
            steps.push(step);
            definitions.push(definition);
        }
        if in_pipeline && self.chance(6) {
            self.hit("4.2 steps that do not match");
            match self.below(2) {
                0 => drop(definitions.pop()),
                _ => steps[0]["name"] = "unnamed-0".into(),
            }
        }
        (steps.into(), definitions.into())
    }

    fn params(&mut self) -> Value {
        let mut params = vec![json!({"name": "plain", "value": "v"})];
        if self.chance(3) {
            self.hit("4.3 object and list params");
            params.push(json!({"name": "list", "value": ["a", "b"]}));
            params.push(json!({"name": "object", "value": {"b": "2", "a": "1"}}));
        }
        if self.chance(3) {
            self.hit("3.5 git hint in params");
            params.push(json!({"name": "CHAINS-GIT_URL", "value": "https://example.com/param"}));
            params.push(json!({"name": "CHAINS-GIT_COMMIT", "value": "c0ffee"}));
        }
        params.into()
    }

    fn definitions_of_params(&mut self) -> Value {
        let mut params =
            vec![json!({"name": "plain", "type": "string", "default": "overlaid"}), json!({"name": "bare"})];
        if self.chance(3) {
            self.hit("3.5 git hint in defaults");
            params.push(json!({"name": "CHAINS-GIT_URL", "default": "git+https://example.com/default.git"}));
            params.push(json!({"name": "CHAINS-GIT_COMMIT", "default": "deadbeef"}));
        }
        params.into()
    }

    fn sha(&mut self) -> &'static str {
        self.pick(&SHA)
    }

    fn hit(&mut self, rule: &'static str) {
        self.current.insert(rule);
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// The next number of splitmix64, below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
