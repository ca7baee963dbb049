// States runs with Chains' own code, as the oracle of the project's tests:
//
//	go build -o oracle . && HALLMARK_ORACLE=$PWD/oracle cargo test --test peer oracle -- --ignored
//
// Reads one JSON object a line, {"run": …, "children": […], "config": {…}} with the keys of chains-config, and
// writes one a line: {"statement": …, "images": […]}, or {"error": "…"}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/tektoncd/chains/pkg/artifacts"
	"github.com/tektoncd/chains/pkg/chains/formats"
	_ "github.com/tektoncd/chains/pkg/chains/formats/all"
	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"knative.dev/pkg/logging"
)

type question struct {
	Run      json.RawMessage   `json:"run"`
	Children []json.RawMessage `json:"children"`
	Config   map[string]string `json:"config"`
}

type answer struct {
	Statement json.RawMessage `json:"statement,omitempty"`
	Images    []string        `json:"images"`
	Error     string          `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for lines.Scan() {
		reply, err := answerTo(lines.Bytes())
		if err != nil {
			reply = answer{Error: err.Error()}
		}
		if err := output.Encode(reply); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func answerTo(line []byte) (reply answer, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return reply, err
	}
	settings, err := config.NewConfigFromMap(asked.Config)
	if err != nil {
		return reply, err
	}
	object, format, err := objectOf(asked, settings)
	if err != nil {
		return reply, err
	}
	ctx := logging.WithLogger(context.Background(), zap.NewNop().Sugar())
	for _, image := range artifacts.ExtractOCIImagesFromResults(ctx, object.GetResults()) {
		reply.Images = append(reply.Images, image.(name.Digest).Name())
	}
	payloader, err := formats.GetPayloader(config.PayloadType(format), *settings)
	if err != nil {
		return reply, err
	}
	statement, err := payloader.CreatePayload(ctx, object)
	if err != nil {
		return reply, err
	}
	switch made := statement.(type) {
	case *intoto.Statement:
		reply.Statement, err = protojson.Marshal(made)
	case intoto.Statement: // by value, as the formats for SLSA v1.0 return it
		reply.Statement, err = protojson.Marshal(&made)
	default:
		return reply, fmt.Errorf("%T is no statement", made)
	}
	return reply, err
}

func objectOf(asked question, settings *config.Config) (objects.TektonObject, string, error) {
	var shape struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(asked.Run, &shape); err != nil {
		return nil, "", err
	}
	if shape.Kind == "TaskRun" {
		var run v1.TaskRun
		err := json.Unmarshal(asked.Run, &run)
		return objects.NewTaskRunObjectV1(&run), settings.Artifacts.TaskRuns.Format, err
	}
	var run v1.PipelineRun
	if err := json.Unmarshal(asked.Run, &run); err != nil {
		return nil, "", err
	}
	object := objects.NewPipelineRunObjectV1(&run)
	for _, raw := range asked.Children {
		var child v1.TaskRun
		if err := json.Unmarshal(raw, &child); err != nil {
			return nil, "", err
		}
		object.AppendTaskRun(&child)
	}
	return object, settings.Artifacts.PipelineRuns.Format, nil
}
