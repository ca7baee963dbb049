// chains-reader reads back what an agent stored, by Chains' own code:
//
//	chains-reader gcs BUCKET < run.json     the payload and the signature of each key in the arguments, as JSON
//	chains-reader docdb URL KEY             the payload and the signature in a document, as JSON
//	chains-reader grafeas < occurrence.json whether Container Analysis' own types take an occurrence, field by field
//
// Cloud Storage is where STORAGE_EMULATOR_HOST says.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"

	pb "github.com/grafeas/grafeas/proto/v1/grafeas_go_proto"
	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/chains/storage/docdb"
	"github.com/tektoncd/chains/pkg/chains/storage/gcs"
	"github.com/tektoncd/chains/pkg/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: chains-reader gcs BUCKET KEY... | docdb URL KEY | grafeas"))
	}
	if os.Args[1] == "docdb" {
		readDocument(os.Args[2], os.Args[3])
		return
	}
	input, err := io.ReadAll(os.Stdin)
	check(err)
	switch os.Args[1] {
	case "gcs":
		readGCS(input, os.Args[2], os.Args[3:])
	case "grafeas":
		var occurrence pb.Occurrence
		check(protojson.Unmarshal(input, &occurrence))
		out, err := protojson.Marshal(&occurrence)
		check(err)
		fmt.Println(string(out))
	}
}

func readGCS(input []byte, bucket string, keys []string) {
	ctx := context.Background()
	var run v1.TaskRun
	check(json.Unmarshal(input, &run))
	cfg := config.Config{}
	cfg.Storage.GCS.Bucket = bucket
	backend, err := gcs.NewStorageBackend(ctx, cfg)
	check(err)
	object := objects.NewTaskRunObjectV1(&run)
	result := map[string]map[string]string{}
	for _, key := range keys {
		opts := config.StorageOpts{ShortKey: key}
		payloads, err := backend.RetrievePayloads(ctx, object, opts)
		check(err)
		signatures, err := backend.RetrieveSignatures(ctx, object, opts)
		check(err)
		entry := map[string]string{}
		for _, payload := range payloads {
			entry["payload"] = base64.StdEncoding.EncodeToString([]byte(payload))
		}
		for _, all := range signatures {
			for _, signature := range all {
				entry["signature"] = base64.StdEncoding.EncodeToString([]byte(signature))
			}
		}
		result[key] = entry
	}
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func readDocument(url, key string) {
	ctx := context.Background()
	cfg := config.Config{}
	cfg.Storage.DocDB.URL = url
	backend, err := docdb.NewStorageBackend(ctx, cfg)
	check(err)
	opts := config.StorageOpts{ShortKey: key}
	payloads, err := backend.RetrievePayloads(ctx, nil, opts)
	check(err)
	signatures, err := backend.RetrieveSignatures(ctx, nil, opts)
	check(err)
	encode := base64.StdEncoding.EncodeToString
	entry := map[string]string{"payload": encode([]byte(payloads[key])), "signature": encode([]byte(signatures[key][0]))}
	check(json.NewEncoder(os.Stdout).Encode(entry))
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "chains-reader:", err)
	os.Exit(1)
}
