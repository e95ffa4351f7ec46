import { expect, test } from "bun:test";
import { freePort } from "../../support/free-port.ts";
import { admission, bareDatagram, SocketStage } from "./socket-stage.ts";
import type { UdpPeer } from "./udp-peer.ts";

const machineId = "148e21ea7e46e8";
const datagramBytesMax = 1500;

test("a relay, its filter and all, answers no datagram without a right tag, of any size and first byte", async () => {
  const backendPort = freePort();
  await using stage = SocketStage.start({ backendPort });
  const machine = await stage.machine(machineId, "127.9.0.5", backendPort);
  // Of these, right tags would be answered.
  stage.learn(
    { kind: "machine", machineId: stopped, state: "stopped", address: undefined },
    { kind: "synced" },
  );
  const proxy = await stage.address();
  const [stranger, client] = [await stage.peer("127.0.0.2"), await stage.peer("127.0.0.3")];
  const flow = await Flow.open({ machine, client, proxy });
  let sent = 0;
  for (let first = 0; first < 256; first++) {
    const batch = Array.from({ length: datagramBytesMax }, (_, index) => forged(first, index + 1));
    // No more at once than the relay's sockets hold.
    for (let from = 0; from < batch.length; from += batchDatagrams) {
      const some = batch.slice(from, from + batchDatagrams);
      stranger.sendMany(some, proxy);
      sent += some.length;
      await flow.roundTrip();
    }
  }
  expect(sent).toBe(256 * datagramBytesMax);
  expect(stranger.waiting).toBe(0);
  // All that the filter had to let through: bare ones with room for an id, and admissions long enough.
  const heard = 128 * (datagramBytesMax - 20) + (datagramBytesMax - 1227);
  const { counters, drops, gauges } = await stage.metrics(
    (metrics) => total(metrics.drops) >= heard,
  );
  expect(drops).toMatchObject({ "bad-tag": datagramBytesMax - 1227 });
  expect(total(drops)).toBe(heard);
  expect({ flows: gauges["flows"], hints: counters["hints_total"] }).toEqual({
    flows: 1,
    hints: 0,
  });
}, 120_000);

const stopped = "148e21ea7e46e9";
const batchDatagrams = 250;

const tagged = admission(stopped, 1, datagramBytesMax - 28);
const short = bareDatagram(machineId, datagramBytesMax);
const long = new Uint8Array(datagramBytesMax);
long.set(short.subarray(1, 21), 6);
long[5] = 20;

/** As near to a right one as a stranger comes: one bit of tag or id is wrong, or the end is missing. */
function forged(first: number, length: number): Uint8Array {
  const [genuine, lastOfTag] =
    (first & 0x40) === 0 ? [tagged, 27] : (first & 0x80) === 0 ? [short, 20] : [long, 25];
  const datagram = genuine.slice(0, length);
  datagram[0] = first;
  if (lastOfTag < length) datagram[lastOfTag] = (datagram[lastOfTag] ?? 0) ^ 1;
  return datagram;
}

function total(drops: Readonly<Record<string, number>>): number {
  return Object.values(drops).reduce((sum, count) => sum + count, 0);
}

/** Its answer says that the relay has dealt with what was sent before. */
class Flow {
  readonly #machine: UdpPeer;
  readonly #client: UdpPeer;
  readonly #proxy: { readonly host: string; readonly port: number };
  readonly #datagram = bareDatagram(machineId, 40, 9);

  static async open(options: FlowOptions): Promise<Flow> {
    const flow = new Flow(options);
    await flow.roundTrip();
    return flow;
  }

  private constructor({ machine, client, proxy }: FlowOptions) {
    this.#machine = machine;
    this.#client = client;
    this.#proxy = proxy;
  }

  async roundTrip(): Promise<void> {
    this.#client.send(this.#datagram, this.#proxy);
    const arrived = await this.#machine.next();
    expect(arrived.bytes.byteLength).toBe(40);
    this.#machine.send(new Uint8Array([0x40]), arrived);
    await this.#client.next();
  }
}

interface FlowOptions {
  readonly machine: UdpPeer;
  readonly client: UdpPeer;
  readonly proxy: { readonly host: string; readonly port: number };
}
