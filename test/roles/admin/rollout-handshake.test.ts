import { afterEach, expect, test } from "bun:test";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { machineGate } from "../../../src/quic/admission-gate.ts";
import {
  type AdmissionKey,
  deriveAdmissionKey,
  formatAdmissionKey,
} from "../../../src/quic/admission-key.ts";
import { selfSignedCertificate } from "../../../src/quic/certificate.ts";
import { Endpoint } from "../../../src/quic/endpoint.ts";
import {
  HandshakeFailed,
  quicHandshake,
  unreachableReason,
} from "../../../src/roles/admin/rollout-handshake.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { rejection } from "../../support/rejection.ts";

const id = "148e21ea7e46e8";
const key = deriveAdmissionKey(new Uint8Array(32).fill(7), 1, id);
const other = deriveAdmissionKey(new Uint8Array(32).fill(8), 1, id);
const wallMs = () => Date.now();
const shakeHands = async (asked: FlyMachine, limitMs = 20_000) =>
  quicHandshake(memoryContext())(asked, limitMs);

const at = (address: string | null): FlyMachine => ({
  id,
  state: "started",
  private_ip: address,
});

let init: Endpoint | undefined;
afterEach(async () => init?.close());

/** An init that lets in whoever has the key, or everybody. */
async function machine(own: AdmissionKey | undefined, told: string | undefined) {
  const gate = own === undefined ? {} : { gate: machineGate([own], wallMs) };
  init = await Endpoint.open({
    bind: { host: "127.0.0.1", port: 0 },
    server: selfSignedCertificate(),
    ...gate,
  });
  const env = {
    VAULT_LISTEN: `127.0.0.1:${init.address.port}`,
    ...(told === undefined ? {} : { VAULT_ADMISSION_KEY: told }),
  };
  return { id, state: "started", private_ip: "127.0.0.1", config: { env } };
}

test("init shakes hands, with the machine's admission key where it has one", async () => {
  await shakeHands(await machine(undefined, undefined));
  await init?.close();
  await shakeHands(
    await machine(key, `${formatAdmissionKey(key)},${formatAdmissionKey({ ...other, epoch: 2 })}`),
  );
});

test("without the key, or with another, init says nothing", async () => {
  for (const told of [undefined, formatAdmissionKey(other)]) {
    const error = await rejection(shakeHands(await machine(key, told), 300));
    expect(error).toBeInstanceOf(HandshakeFailed);
    await init?.close();
  }
});

test("what cannot be asked fails in words, and never shows a key", async () => {
  const broken = await machine(key, "fva1_garbage");
  const noPort = { ...broken, config: { env: { VAULT_LISTEN: "[::]:99999" } } };
  for (const each of [broken, noPort, { ...broken, private_ip: null }]) {
    const error = await rejection(shakeHands(each));
    expect(error).toBeInstanceOf(HandshakeFailed);
    expect(String(error)).not.toContain("garbage");
  }
});

test("machines can be asked on loopback, and in Fly's network from within it", () => {
  expect(unreachableReason([at("127.64.0.1")], [])).toBeUndefined();
  expect(unreachableReason([], [])).toBeUndefined();
  expect(unreachableReason([at("fdaa:0:1::2")], ["10.0.0.1", "fdaa:0:9::3"])).toBeUndefined();
  expect(unreachableReason([at("127.0.0.1"), at("fdaa:0:1::2")], ["10.0.0.1"])).toContain("fdaa");
});
