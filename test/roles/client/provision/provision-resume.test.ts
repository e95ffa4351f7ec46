import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { appendFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";

setDefaultTimeout(120_000);

let vault: TestVault;
let path: string;
let archive: Uint8Array;

beforeEach(async () => {
  vault = await TestVault.open();
  path = join(vault.folder, "rootfs.tar.gz");
  archive = new Uint8Array(6_000_001).map((_, index) => (index * 13 + (index >> 11)) & 0xff);
  await writeFile(path, archive);
});
afterEach(async () => {
  await vault.close();
});

interface Run {
  readonly context: MemoryContext;
  readonly code: Promise<number>;
}

function start(words: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const context = memoryContext({ env: { ...vault.env, ...env }, columns: 100 });
  return { context, code: main(words, context) };
}

const upload = (): string[] => ["provision", "dev", "--from", path];
const provisions = () => vault.requests.filter(({ type }) => type === "provision");

/** Calls `event` once for each place that an upload has come past. */
function atPlaces(places: readonly number[], event: () => void): void {
  const left = [...places];
  vault.provisionAnswer = () => {
    if (vault.uploaded < (left[0] ?? Number.POSITIVE_INFINITY)) return undefined;
    left.shift();
    event();
    return undefined;
  };
}

test("an upload goes on after each lost link, and no byte is sent twice into the archive", async () => {
  atPlaces([500_000, 501_000, 2_000_000, 4_500_000, 5_990_000], () => void vault.restartLink());
  const { context, code } = start(upload());
  expect(await code).toBe(0);
  expect(vault.uploaded).toBe(archive.length);
  const digest = new Bun.CryptoHasher("sha256").update(archive).digest("hex");
  expect(vault.uploadedHash).toBe(digest);
  const asked = provisions();
  expect(asked.length).toBeGreaterThanOrEqual(4);
  expect(new Set(asked.map((request) => JSON.stringify(request))).size).toBe(1);
  expect(context.err()).toMatch(/the link is back, going on at \d\.\d MiB\n/);
});

test("a link lost after the last byte costs no second upload", async () => {
  let dones = 0;
  vault.beforeDone = async () => {
    dones += 1;
    if (dones === 1) await vault.restartLink();
  };
  expect(await start(upload()).code).toBe(0);
  expect(dones).toBe(2);
  expect(vault.uploads.size).toBe(1);
  expect(vault.uploaded).toBe(archive.length);
});

test("a URL is asked for again by the same id", async () => {
  let dones = 0;
  vault.lastPhases = ["download"];
  vault.beforeDone = async () => {
    dones += 1;
    if (dones > 1) return;
    // Until the client has heard something.
    await Bun.sleep(100);
    await vault.restartLink();
  };
  const { context, code } = start(["provision", "dev", "--from", "https://example.com/r.tar"]);
  expect(await code).toBe(0);
  expect(new Set(provisions().map((request) => JSON.stringify(request))).size).toBe(1);
  expect(context.err()).toContain("the link is back, going on\n");
});

test.each(["longer", "shorter", "touched"] as const)(
  "a file that gets %s while the link is away is not gone on with, and the machine is told",
  async (change) => {
    let cancels = 0;
    vault.cancelAnswer = () => {
      cancels += 1;
      return true;
    };
    atPlaces([2_000_000], () => {
      const changes = {
        longer: async () => appendFile(path, "more"),
        shorter: async () => truncate(path, 5_000_000),
        touched: async () => utimes(path, 1, 1),
      };
      void changes[change]().then(async () => vault.restartLink());
    });
    const { context, code } = start(upload());
    expect(await code).toBe(3);
    expect(context.err()).toContain("FV-PROV-001");
    expect(context.err()).toContain("changed while it was sent");
    expect(cancels).toBe(1);
  },
);

test("a file that changes while it is sent is noticed at its end, and the machine is told", async () => {
  let cancels = 0;
  vault.cancelAnswer = () => {
    cancels += 1;
    return true;
  };
  const touched = Promise.withResolvers<void>();
  atPlaces([2_000_000], () => void utimes(path, 1, 1).then(touched.resolve));
  const { context, code } = start(upload());
  expect(await code).toBe(3);
  await touched.promise;
  expect(context.err()).toContain("changed while it was sent");
  expect(cancels).toBe(1);
});

test("a machine that gives up each stream is not hurried", async () => {
  const askedMs: number[] = [];
  const fourth = Promise.withResolvers<void>();
  vault.onRequest = ({ type }) => {
    if (type !== "provision") return undefined;
    askedMs.push(performance.now());
    if (askedMs.length === 4) fourth.resolve();
    throw new Error("As of a keeper that is gone");
  };
  const { context, code } = start(upload());
  await fourth.promise;
  // After 0.25 s, 0.5 s and 1 s, or a quarter less.
  const waitedMs = askedMs.slice(1).map((ms, before) => ms - (askedMs[before] ?? 0));
  for (const [wait, ms] of waitedMs.entries()) expect(ms).toBeGreaterThan(185 * 2 ** wait);
  context.stop("SIGINT");
  expect(await code).toBe(130);
});

test("a machine that forgets the upload gets it again from the start, a few times", async () => {
  let restarts = 0;
  const forgetful = (times: number): void => {
    restarts = 0;
    vault.uploads.clear();
    vault.provisionAnswer = () => {
      const [last] = [...vault.uploads.values()];
      if (restarts >= times || (last?.bytes ?? 0) < 1_000_000) return undefined;
      restarts += 1;
      vault.uploads.clear();
      void vault.restartLink();
      return undefined;
    };
  };
  forgetful(clientLimits.provisionRestartsMax);
  expect(await start(upload()).code).toBe(0);
  expect(vault.uploadedHash).toBe(new Bun.CryptoHasher("sha256").update(archive).digest("hex"));
  forgetful(Number.POSITIVE_INFINITY);
  const { context, code } = start(upload());
  expect(await code).toBe(1);
  expect(context.err()).toContain("FV-VM-003");
  expect(restarts).toBe(clientLimits.provisionRestartsMax + 1);
});

test("nor does a download begin anew for ever", async () => {
  let over = false;
  vault.beforeDone = async () => {
    // Until the client has heard something.
    await Bun.sleep(100);
    // The last one is still asleep when the client has given up; the next test has the vault by then.
    if (over) return;
    vault.uploads.clear();
    await vault.restartLink();
  };
  const { context, code } = start(["provision", "dev", "--from", "https://example.com/r.tar"]);
  expect(await code).toBe(1);
  over = true;
  expect(context.err()).toContain("the machine was restarted, beginning anew\n");
  expect(context.err()).toContain("FV-VM-003");
  expect(provisions()).toHaveLength(clientLimits.provisionRestartsMax + 2);
});

/** Ctrl-C once the upload has begun. */
async function interrupt(words: readonly string[]): Promise<Run> {
  const run = start(words);
  while (vault.uploaded < 500_000) await Bun.sleep(2);
  run.context.stop("SIGINT");
  return run;
}

test.each([
  ["cancelled", (): boolean => true, 'cancelled; "dev" is as it was'],
  ["changing over", (): boolean => false, 'too late to cancel: "dev" is changing over already'],
  [
    "unknown to it",
    (): RemoteError => new RemoteError("not-found", "No"),
    'cancelled; "dev" is as it was',
  ],
  [
    "not understood",
    (): RemoteError => new RemoteError("unsupported", "No"),
    '"dev" did not confirm it',
  ],
] as const)("Ctrl-C says what became of it: %s", async (_, answer, words) => {
  await truncate(path, 2 ** 32);
  vault.cancelAnswer = answer;
  const { context, code } = await interrupt(upload());
  expect(await code).toBe(130);
  expect(context.err()).toContain(words);
  const asked = vault.requests.at(-1);
  expect(asked).toEqual({ type: "provision-cancel", id: [...vault.uploads.keys()][0] ?? "" });
});

test("Ctrl-C before the machine has answered: the cancel does not overtake the request", async () => {
  const held = Promise.withResolvers<void>();
  vault.beforeReply = async () => held.promise;
  const { context, code } = start(upload());
  while (vault.requests.length === 0) await Bun.sleep(2);
  context.stop("SIGINT");
  await Bun.sleep(100);
  expect(vault.requests.map(({ type }) => type)).toEqual(["provision"]);
  held.resolve();
  expect(await code).toBe(130);
  expect(vault.requests.map(({ type }) => type)).toEqual(["provision", "provision-cancel"]);
});

test("Ctrl-C while the link is away: a machine that was restarted is not asked to begin anew", async () => {
  await truncate(path, 2 ** 32);
  vault.cancelAnswer = () => new RemoteError("not-found", "No");
  const away = Promise.withResolvers<void>();
  atPlaces([500_000], () => {
    void vault.restartLink(300);
    vault.uploads.clear();
    away.resolve();
  });
  const { context, code } = start(upload());
  await away.promise;
  context.stop("SIGINT");
  expect(await code).toBe(130);
  expect(context.err()).toContain('cancelled; "dev" is as it was');
  expect(vault.requests.map(({ type }) => type)).toEqual(["provision", "provision-cancel"]);
});

test("Ctrl-C twice does not wait for a machine that says nothing", async () => {
  await truncate(path, 2 ** 32);
  vault.vmState = "cold";
  await vault.configure({ rootfs: path });
  vault.cancelDelay = new Promise(() => {});
  const { context, code } = await interrupt(["exec", "-q", "dev", "--", "true"]);
  await Bun.sleep(50);
  const startMs = performance.now();
  context.stop("SIGINT");
  expect(await code).toBe(130);
  expect(performance.now() - startMs).toBeLessThan(clientLimits.cancelMs / 2);
  expect(context.err()).toBe("");
});
