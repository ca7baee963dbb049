// Judges what Hallmark stored with sigstore-go and the protobuf types of in-toto, which share no code with it:
//
//	bundle-judge bundle KEY.pub DIGEST < bundle.json
//	bundle-judge envelope KEY.pub DIGEST < envelope.json
//
// KEY.pub is a PEM file, DIGEST the SHA-256 of the image in hexadecimal. It exits with 1 and says why when the signature
// does not verify, the statement is not about that digest, or a SLSA predicate has a field that its schema does not know;
// else it prints the type of the predicate.
package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	provenance02 "github.com/in-toto/attestation/go/predicates/provenance/v02"
	provenance1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	signaturedsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	predicate, err := judge(os.Args[1:], os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(predicate)
}

func judge(arguments []string, input io.Reader) (string, error) {
	if len(arguments) != 3 {
		return "", errors.New("usage: bundle-judge bundle|envelope KEY.pub DIGEST")
	}
	verifier, err := loadVerifier(arguments[1])
	if err != nil {
		return "", err
	}
	digest, err := hex.DecodeString(arguments[2])
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(input, 64<<20))
	if err != nil {
		return "", err
	}
	var statement *intoto.Statement
	switch arguments[0] {
	case "bundle":
		statement, err = ofBundle(content, verifier, digest)
	case "envelope":
		statement, err = ofEnvelope(content, verifier, digest)
	default:
		return "", fmt.Errorf("%q is neither bundle nor envelope", arguments[0])
	}
	if err != nil {
		return "", err
	}
	return statement.GetPredicateType(), knownToSchema(statement)
}

func loadVerifier(file string) (signature.Verifier, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", file)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return signature.LoadVerifier(key, crypto.SHA256)
}

func ofBundle(content []byte, verifier signature.Verifier, digest []byte) (*intoto.Statement, error) {
	var read bundle.Bundle
	if err := read.UnmarshalJSON(content); err != nil {
		return nil, err
	}
	trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	})
	judge, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
	if err != nil {
		return nil, err
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey())
	result, err := judge.Verify(&read, policy)
	if err != nil {
		return nil, err
	}
	return result.Statement, nil
}

func ofEnvelope(content []byte, verifier signature.Verifier, digest []byte) (*intoto.Statement, error) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(content, &envelope); err != nil {
		return nil, err
	}
	judge, err := dsse.NewEnvelopeVerifier(&signaturedsse.VerifierAdapter{SignatureVerifier: verifier})
	if err != nil {
		return nil, err
	}
	if _, err := judge.Verify(context.Background(), &envelope); err != nil {
		return nil, err
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return nil, err
	}
	var statement intoto.Statement
	if err := protojson.Unmarshal(payload, &statement); err != nil {
		return nil, err
	}
	for _, subject := range statement.GetSubject() {
		if subject.GetDigest()["sha256"] == hex.EncodeToString(digest) {
			return &statement, nil
		}
	}
	return nil, errors.New("no subject of the statement has this digest")
}

// knownToSchema fails on fields that the published schema of a SLSA predicate does not have.
func knownToSchema(statement *intoto.Statement) error {
	var into proto.Message
	switch statement.GetPredicateType() {
	case "https://slsa.dev/provenance/v0.2":
		into = &provenance02.Provenance{}
	case "https://slsa.dev/provenance/v1":
		into = &provenance1.Provenance{}
	default:
		return nil
	}
	predicate, err := protojson.Marshal(statement.GetPredicate())
	if err != nil {
		return err
	}
	return protojson.Unmarshal(predicate, into)
}
