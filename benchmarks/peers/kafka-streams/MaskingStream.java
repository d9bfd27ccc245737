import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.UnaryOperator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * What a team on the JVM would write in place of this project: five columns of each change event are masked, exactly once.
 *
 * <p>Arguments: brokers, source topic, target topic, application id, directory for its state, threads, "mask" or "copy".
 */
public final class MaskingStream {
  private static final List<String> IMAGES = List.of("before", "after");
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ThreadLocal<Mac> MAC = ThreadLocal.withInitial(MaskingStream::newMac);

  private MaskingStream() {}

  public static void main(String[] arguments) {
    UnaryOperator<byte[]> change = arguments[6].equals("copy") ? UnaryOperator.identity() : MaskingStream::masked;
    var streams = new KafkaStreams(topology(arguments[1], arguments[2], change), settings(arguments));
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }

  private static Topology topology(String source, String target, UnaryOperator<byte[]> change) {
    Serde<byte[]> bytes = Serdes.ByteArray();
    var builder = new StreamsBuilder();
    builder.stream(source, Consumed.with(bytes, bytes)).mapValues(change::apply).to(target, Produced.with(bytes, bytes));
    return builder.build();
  }

  /** Large fetches and batches, and ten commits a second: what one sets for throughput. */
  private static Properties settings(String[] arguments) {
    var settings = new Properties();
    settings.putAll(
        Map.of(
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0],
            StreamsConfig.APPLICATION_ID_CONFIG, arguments[3],
            StreamsConfig.STATE_DIR_CONFIG, arguments[4],
            StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.parseInt(arguments[5]),
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100));
    settings.putAll(
        Map.of(
            StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest",
            StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000,
            StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20,
            StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1_000_000,
            StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20));
    return settings;
  }

  private static byte[] masked(byte[] value) {
    try {
      var event = (ObjectNode) JSON.readTree(value);
      for (String image : IMAGES) {
        if (event.get(image) instanceof ObjectNode row) {
          row.put("email", token(row.get("email").textValue()));
          row.put("ssn", token(row.get("ssn").textValue()));
          row.putNull("full_name");
          row.put("phone", "***");
          String card = row.get("card_number").textValue();
          row.put("card_number", card.substring(0, 6) + "*".repeat(card.length() - 10) + card.substring(card.length() - 4));
        }
      }
      return JSON.writeValueAsBytes(event);
    } catch (IOException error) {
      throw new IllegalStateException("an event is no JSON", error);
    }
  }

  /** 32 hexadecimal digits of an HMAC. */
  private static String token(String text) {
    byte[] digest = MAC.get().doFinal(text.getBytes(StandardCharsets.UTF_8));
    return HexFormat.of().formatHex(digest, 0, 16);
  }

  private static Mac newMac() {
    try {
      var mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(new byte[32], mac.getAlgorithm()));
      return mac;
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }
}
