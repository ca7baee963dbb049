//! The results of runs and steps: images, artifacts, git hints.

use serde_json::{Value, json};

use super::{Generator, SHA, SHA1};

impl Generator {
    pub(super) fn results(&mut self) -> Value {
        let mut results = vec![json!({"name": "plain", "type": "string", "value": "a<b>&c\u{2028}"})];
        for index in 0..self.below(6) {
            let prefix = format!("{}-", self.pick(&["a", "b", "c"]));
            match self.below(5) {
                0 => self.pair(&prefix, &mut results),
                1 => self.images(&mut results),
                2 => self.artifact_pair(&prefix, &mut results),
                3 => self.object(&format!("{prefix}{index}"), &mut results),
                _ => {
                    self.hit("3.5 git hint in results");
                    results.push(json!({"name": "CHAINS-GIT_URL", "value": "https://example.com/result"}));
                    results.push(json!({"name": "CHAINS-GIT_COMMIT", "value": "f00"}));
                }
            }
        }
        results.into()
    }

    fn pair(&mut self, prefix: &str, results: &mut Vec<Value>) {
        self.hit("3.1 pair of image results");
        let (url, rule) = self.pick(&[
            ("r.io/app", None),
            ("r.io/app:v1", Some("3.1 reference with a tag")),
            ("docker.io/u/app", Some("3.1 reference to Docker Hub")),
            ("app", Some("3.1 reference to Docker Hub")),
            (" r.io/blank \n", Some("3.1 pair with blanks around")),
            ("https://r.io/app", Some("3.1 reference with a scheme")),
            ("r.io/App", Some("3.1 reference that no registry holds")),
        ]);
        let (digest, other) = self.pick(&[
            (SHA[0], None),
            (SHA[1], None),
            ("sha256:abc", Some("3.1 pair with a bad digest")),
            ("", Some("3.1 pair without its other half")),
        ]);
        [rule, other].into_iter().flatten().for_each(|rule| self.hit(rule));
        let url = if self.chance(12) {
            self.hit("3.1 list where a text belongs");
            json!([url])
        } else {
            json!(url)
        };
        results.push(json!({"name": format!("{prefix}IMAGE_URL"), "value": url}));
        results.push(json!({"name": format!("{prefix}IMAGE_DIGEST"), "value": digest}));
    }

    fn images(&mut self, results: &mut Vec<Value>) {
        self.hit("3.1 IMAGES");
        let mut list = format!("r.io/one@{},\nr.io/two:v1@{}", self.sha(), self.sha());
        if self.chance(2) {
            self.hit("3.1 IMAGES with a bad entry");
            list.push_str(", r.io/bad");
        }
        results.push(json!({"name": "IMAGES", "value": list}));
    }

    fn artifact_pair(&mut self, prefix: &str, results: &mut Vec<Value>) {
        self.hit("3.3 pair of artifact results");
        let digest = self.digest();
        results.push(json!({"name": format!("{prefix}ARTIFACT_URI"), "value": "pkg:maven/a/b@1"}));
        results.push(json!({"name": format!("{prefix}ARTIFACT_DIGEST"), "value": digest}));
    }

    fn object(&mut self, prefix: &str, results: &mut Vec<Value>) {
        let mut value = json!({"uri": self.pick(&["r.io/out", "r.io/out:v2", "pkg:maven/c/d@2"]), "digest": self.digest()});
        let (claim, rule) = self.pick(&[
            (None, "3.3 output without a claim"),
            (Some("true"), "3.4 output that is a build artifact"),
            (Some("True"), "3.4 output with an odd claim"),
        ]);
        if self.chance(3) {
            self.hit("3.5 input object");
            results.push(json!({"name": format!("{prefix}-ARTIFACT_INPUTS"), "value": value}));
            return;
        }
        self.hit(rule);
        if let Some(claim) = claim {
            value["isBuildArtifact"] = claim.into();
        }
        if self.chance(8) {
            self.hit("3.4 output without location");
            value.as_object_mut().unwrap().remove("uri");
        }
        results.push(json!({"name": format!("{prefix}-ARTIFACT_OUTPUTS"), "value": value}));
    }

    fn digest(&mut self) -> String {
        match self.below(6) {
            0 => {
                self.hit("3.2 algorithm in capitals");
                SHA[0].replace("sha", "SHA")
            }
            1 => {
                self.hit("3.2 sha1");
                SHA1.to_owned()
            }
            2 => {
                self.hit("3.2 bad digest");
                "main".to_owned()
            }
            _ => self.sha().to_owned(),
        }
    }
}
