import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

test.each(["", ">&2"])(
  "the last bytes of a program that ended while its client stalls are kept, wherever they wait (%s)",
  async (redirection) => {
    // Reading stops about here; what follows waits in the pipe, or on its way out of it.
    const full = limits.ringBytes - initLimits.readBytesMax;
    const sizes = Array.from({ length: 12 }, (_, step) => full - 80_000 + step * 20_000);
    const clients = await Promise.all(
      sizes.map(async (size) => {
        const script = `head -c ${size} /dev/zero ${redirection}; exit 7`;
        const client = await machine.open({ argv: ["/bin/sh", "-c", script] });
        client.keepOutput = false;
        client.reading = false;
        return client;
      }),
    );
    await Bun.sleep(10 * initLimits.drainQuietMs);
    for (const client of clients) client.reading = true;
    await Promise.all(clients.map(async (client) => client.over()));
    expect(clients.map(({ receivedBytes }) => receivedBytes)).toEqual(sizes);
    for (const { exit, lostBytes } of clients)
      expect({ exit, lostBytes }).toEqual({ exit: { code: 7 }, lostBytes: 0 });
  },
);
