import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { decodeRequest, sendError, type Status } from "../../../src/protocol/message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { LiveRootfs } from "../../../src/roles/init/live-rootfs.ts";
import { dataLayout } from "../../../src/roles/init/provision/data-layout.ts";
import { unlockFile } from "../../../src/roles/init/provision/lock-file.ts";
import { Provisioning } from "../../../src/roles/init/provisioning.ts";
import { deltaOf } from "../../support/delta-archive.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { rejection } from "../../support/rejection.ts";
import { archiveOf, codeOf, ProvisionStream } from "./provision-client.ts";
import { StagedWorkload } from "./staged-workload.ts";

setDefaultTimeout(120_000);

/** The service itself, without a machine around it, so that its times can be short. */
let dataDir: string;
let provisioning: Provisioning;
const archiveWaitMs = 1500;
const noLog = (): void => undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "fv-provisioning-"));
  const workload = new StagedWorkload();
  const live = new LiveRootfs(
    { dataDir, workload, log: noLog, onProven: () => undefined },
    { rootfs: false },
  );
  const status = (): Status => ({
    vm_state: provisioning.state,
    runtime: "not-started",
    init_version: "0",
    protocol_oldest: 1,
    protocol_newest: 1,
  });
  provisioning = new Provisioning({ dataDir, live, status, log: noLog, archiveWaitMs });
});
afterEach(() => {
  provisioning.close();
  unlockFile(dataLayout(dataDir).lock);
  rmSync(dataDir, { recursive: true });
});

const service = {
  connect: async (): Promise<ByteStream> => {
    const { near, far } = memoryPair();
    void serve(new FrameStream(far));
    return near;
  },
};

async function serve(frames: FrameStream): Promise<void> {
  const frame = await frames.read();
  const request = frame === null ? undefined : decodeRequest(frame);
  if (request?.type !== "provision") throw new Error("Not a provisioning");
  try {
    await provisioning.serve(frames, request);
    await frames.stream.end();
  } catch (error) {
    if (error instanceof RemoteError) await sendError(frames, error);
    frames.stream.end().catch(() => undefined);
  }
}

const archive = archiveOf("first");
const left = (): string[] => readdirSync(dataDir).filter((name) => name !== ".fly-vault");

test.each(["gone", "there, but silent"])(
  "an upload whose client is %s is waited for, then discarded, and the room is back",
  async (client) => {
    const stream = await ProvisionStream.open(service, { id: "a" });
    const startedMs = performance.now();
    await stream.send(archive, 100_000);
    if (client === "gone") stream.drop();
    expect(left()).toEqual(["rootfs.next"]);
    const again = await ProvisionStream.open(service, { id: "a" });
    expect(again.offset).toBe(100_000);
    expect(await rejection(again.result())).toMatchObject({
      code: "cancelled",
      message: "The archive stopped arriving",
    });
    expect(performance.now() - startedMs).toBeGreaterThan(archiveWaitMs - 100);
    expect(left()).toEqual([]);
    expect(provisioning.state).toBe("cold");
    // Whoever comes back too late is told, and uploads nothing in vain.
    const late = await ProvisionStream.open(service, { id: "a" });
    expect(await codeOf(late.result())).toBe("cancelled");
  },
);

test.each(["its recipe", "what is lacking"])(
  "a client that is gone before all of %s is there is waited for no longer",
  async (part) => {
    const delta = await deltaOf(archive);
    const { recipe_bytes } = delta.source;
    const until = part === "its recipe" ? recipe_bytes - 1 : recipe_bytes + 1000;
    const stream = await ProvisionStream.open(service, { id: "a", source: delta.source });
    const told = stream.result();
    told.catch(() => undefined);
    // Who sends too slowly for that is cancelled meanwhile, and then nobody reads any more.
    await Promise.race([stream.sendDelta(delta, until), told]);
    expect(left()).toEqual(["rootfs.next"]);
    expect(await rejection(told)).toMatchObject({ code: "cancelled" });
    expect(left()).toEqual([]);
  },
);

test("a client that comes back in time may do so as often as it likes", async () => {
  let stream = await ProvisionStream.open(service, { id: "a" });
  for (let part = 1; part <= 6; part++) {
    await stream.send(archive, (archive.length * part) / 6);
    stream.drop();
    await Bun.sleep(archiveWaitMs / 5);
    stream = await ProvisionStream.open(service, { id: "a" });
  }
  // What was on its way when the stream broke is sent again.
  await stream.send(archive);
  expect((await stream.finish()).entries).toBeGreaterThan(10);
});

const ask = async (index: number): Promise<ProvisionStream> =>
  ProvisionStream.open(service, { id: `upload-${index}`, sha256: "0".repeat(64) });

test("outcomes are remembered up to a number; of older ones nothing is known any more", async () => {
  const noise = new Uint8Array(1000).fill(0x5a);
  for (let index = 0; index <= initLimits.outcomesMax; index++) {
    const stream = await ask(index);
    await stream.send(noise);
    expect(await codeOf(stream.finish())).toBe("archive-format");
  }
  for (let index = 1; index <= initLimits.outcomesMax; index++)
    expect((await ask(index)).offset).toBe(noise.length);
  expect((await ask(0)).offset).toBe(0);
});

test("an end of init ends what is under way, and begins nothing", async () => {
  const stream = await ProvisionStream.open(service);
  await stream.send(archive, 100_000);
  provisioning.close();
  expect(await rejection(stream.result())).toMatchObject({
    code: "cancelled",
    message: "The machine is being stopped",
  });
  expect(await codeOf(ProvisionStream.open(service))).toBe("cancelled");
});
