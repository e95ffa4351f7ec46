/** Run as a child of hostile.test.ts: a native abort would end it without the last line. */
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import {
  clientConfig,
  serverConfig,
  type TransportSettings,
} from "../../src/quic/quiche-config.ts";
import { pathInfo, QuicheConnection } from "../../src/quic/quiche-connection.ts";
import { parseLongHeader, retryPacket } from "../../src/quic/quiche-packet.ts";
import { settings } from "./settings.ts";

const numbers = [-1, -0.5, 0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 53, 2 ** 62];
const odd: unknown[] = [
  ...numbers,
  2 ** 64,
  -(2 ** 63),
  "",
  "x",
  null,
  undefined,
  [],
  {},
  1n,
  new Uint8Array(0),
  new Uint8Array(21),
  new Uint8Array(70_000),
];
const local = { host: "192.0.2.1", port: 1 };
const remote = { host: "127.0.0.1", port: 4433 };
const identity = selfSignedCertificate();

function attempt(action: () => unknown): void {
  try {
    action();
  } catch {
    // An exception is what we ask for.
  }
}

for (const value of odd) {
  for (const name of Object.keys(settings)) {
    const bad = { ...settings, [name]: value } as TransportSettings;
    attempt(() => clientConfig(bad));
    attempt(() => serverConfig(bad, identity, 1n));
  }
  for (const name of Object.keys(identity)) {
    const bad = { ...identity, [name]: value } as typeof identity;
    attempt(() => serverConfig(settings, bad, 1n));
  }
  attempt(() => serverConfig(settings, identity, value as bigint));
  attempt(() => pathInfo(value as typeof local, remote));
  attempt(() => pathInfo({ host: value as string, port: 1 }, remote));
  attempt(() => pathInfo({ host: "::1", port: value as number }, remote));
  attempt(() => parseLongHeader(value as Uint8Array));
  attempt(() => {
    const header = { type: "initial", version: 1, dcid: value, scid: value, token: value } as never;
    retryPacket(header, value as Uint8Array, value as Uint8Array);
  });
  attempt(() =>
    QuicheConnection.connect(value as Uint8Array, local, remote, clientConfig(settings)),
  );
  const config = serverConfig(settings, identity, 1n);
  const ids = { scid: new Uint8Array(20), originalDcid: value as Uint8Array };
  attempt(() => QuicheConnection.accept(ids, local, remote, config));
}

const connection = QuicheConnection.connect(
  new Uint8Array(20),
  local,
  remote,
  clientConfig(settings),
);
const bytes = new Uint8Array(10);
for (const value of odd) {
  attempt(() => connection.setKeylog(value as string));
  attempt(() => connection.setKeylog("/tmp/keys"));
  attempt(() => connection.receive(value as Uint8Array, pathInfo(remote, local)));
  attempt(() => connection.send(value as Uint8Array));
  attempt(() => connection.streamSend(value as number, bytes, false));
  attempt(() => connection.streamSend(0, value as Uint8Array, true));
  attempt(() => connection.streamSend(0, bytes, value as boolean));
  attempt(() => connection.streamReceive(value as number, bytes));
  attempt(() => connection.streamReceive(0, value as Uint8Array));
  attempt(() => connection.stopReading(value as number, 0));
  attempt(() => connection.stopReading(0, value as number));
  attempt(() => connection.resetWriting(value as number, 1));
  attempt(() => connection.resetWriting(0, value as number));
  attempt(() => connection.streamFinished(value as number));
  attempt(() => connection.close(value as boolean, 1, bytes));
  attempt(() => connection.close(true, value as number, bytes));
  attempt(() => connection.close(true, 1, value as Uint8Array));
}
for (let count = 0; count < 100; count++) {
  attempt(() => connection.send(new Uint8Array(quicLimits.datagramBytesDefault)));
}
console.log("survived");
