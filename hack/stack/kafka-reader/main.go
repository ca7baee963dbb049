// kafka-reader reads what is in a topic, by the library that Chains writes with, and writes as Chains itself does:
//
//	kafka-reader read BROKERS TOPIC              every message, as JSON: body and metadata as that library has them
//	kafka-reader write BROKERS TOPIC < run.json  {"payload": base64, "signature": base64}, by Chains' own storage backend
//	kafka-reader topic BROKERS TOPIC REPLICAS [KEY=VALUE]...   makes a topic; REPLICAS such as 1:2,2:1, the leader first
//	kafka-reader user BROKERS NAME PASSWORD      gives somebody a password for SCRAM
//	kafka-reader allow BROKERS USER TOPIC        lets somebody write
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/tektoncd/chains/pkg/chains/objects"
	chains "github.com/tektoncd/chains/pkg/chains/storage/pubsub"
	"github.com/tektoncd/chains/pkg/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"gocloud.dev/pubsub/kafkapubsub"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: kafka-reader read|write|topic|user|allow BROKERS NAME..."))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch brokers, topic := os.Args[2], os.Args[3]; os.Args[1] {
	case "read":
		read(ctx, strings.Split(brokers, ","), topic)
	case "write":
		write(ctx, brokers, topic)
	case "topic":
		makeTopic(admin(brokers), topic, os.Args[4], os.Args[5:])
	case "user":
		makeUser(admin(brokers), topic, os.Args[4])
	case "allow":
		allow(admin(brokers), topic, os.Args[4])
	}
}

func admin(brokers string) sarama.ClusterAdmin {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin(strings.Split(brokers, ","), cfg)
	check(err)
	return admin
}

func makeTopic(admin sarama.ClusterAdmin, topic, replicas string, settings []string) {
	detail := sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: map[int32][]int32{}, ConfigEntries: map[string]*string{}}
	for partition, brokers := range strings.Split(replicas, ",") {
		for _, broker := range strings.Split(brokers, ":") {
			number, err := strconv.Atoi(broker)
			check(err)
			detail.ReplicaAssignment[int32(partition)] = append(detail.ReplicaAssignment[int32(partition)], int32(number))
		}
	}
	for _, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		detail.ConfigEntries[key] = &value
	}
	check(admin.CreateTopic(topic, &detail, false))
}

func makeUser(admin sarama.ClusterAdmin, name, password string) {
	for _, mechanism := range []sarama.ScramMechanismType{sarama.SCRAM_MECHANISM_SHA_256, sarama.SCRAM_MECHANISM_SHA_512} {
		result, err := admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{{
			Name: name, Mechanism: mechanism, Iterations: 4096, Salt: []byte("salt of " + name), Password: []byte(password)}})
		check(err)
		for _, one := range result {
			if one.ErrorCode != sarama.ErrNoError {
				fail(one.ErrorCode)
			}
		}
	}
}

func allow(admin sarama.ClusterAdmin, user, topic string) {
	resource := sarama.Resource{ResourceType: sarama.AclResourceTopic, ResourceName: topic, ResourcePatternType: sarama.AclPatternLiteral}
	for _, operation := range []sarama.AclOperation{sarama.AclOperationWrite, sarama.AclOperationDescribe} {
		acl := sarama.Acl{Principal: "User:" + user, Host: "*", Operation: operation, PermissionType: sarama.AclPermissionAllow}
		check(admin.CreateACL(resource, acl))
	}
}

type message struct {
	Key       string            `json:"key"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Body      string            `json:"body"`
	Metadata  map[string]string `json:"metadata"`
}

func read(ctx context.Context, brokers []string, topic string) {
	cfg := kafkapubsub.MinimalConfig()
	cfg.Version = sarama.V2_8_0_0
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	left := count(brokers, cfg, topic)
	messages := []message{}
	if left > 0 {
		group := fmt.Sprintf("reader-%d", time.Now().UnixNano())
		subscription, err := kafkapubsub.OpenSubscription(brokers, cfg, group, []string{topic}, nil)
		check(err)
		for ; left > 0; left-- {
			got, err := subscription.Receive(ctx)
			check(err)
			var raw *sarama.ConsumerMessage
			got.As(&raw)
			body := base64.StdEncoding.EncodeToString(got.Body)
			metadata := map[string]string{}
			for name, value := range got.Metadata {
				metadata[name] = base64.StdEncoding.EncodeToString([]byte(value))
			}
			messages = append(messages, message{string(raw.Key), raw.Partition, raw.Offset, body, metadata})
			got.Ack()
		}
		check(subscription.Shutdown(ctx))
	}
	check(json.NewEncoder(os.Stdout).Encode(messages))
}

// How many messages there are: what ends the reading, since a topic has no end.
func count(brokers []string, cfg *sarama.Config, topic string) int64 {
	client, err := sarama.NewClient(brokers, cfg)
	check(err)
	defer client.Close()
	partitions, err := client.Partitions(topic)
	check(err)
	total := int64(0)
	for _, partition := range partitions {
		newest, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		check(err)
		oldest, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
		check(err)
		total += newest - oldest
	}
	return total
}

func write(ctx context.Context, broker, topic string) {
	var stored struct{ Payload, Signature []byte }
	check(json.NewDecoder(os.Stdin).Decode(&stored))
	cfg := config.Config{}
	cfg.Storage.PubSub.Provider = chains.PubSubProviderKafka
	cfg.Storage.PubSub.Topic = topic
	cfg.Storage.PubSub.Kafka.BootstrapServers = broker
	backend, err := chains.NewStorageBackend(ctx, cfg)
	check(err)
	run := objects.NewTaskRunObjectV1(&v1.TaskRun{})
	check(backend.StorePayload(ctx, run, stored.Payload, string(stored.Signature), config.StorageOpts{}))
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kafka-reader:", err)
	os.Exit(1)
}
