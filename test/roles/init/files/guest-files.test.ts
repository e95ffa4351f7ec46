import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { encodeFrame, FrameStream, frameTypes } from "../../../../src/protocol/frame.ts";
import { type FilesReply, filesReplySchema } from "../../../../src/protocol/file-job.ts";
import { encodeJson, request } from "../../../../src/protocol/message.ts";
import { copyOver } from "../../../../src/roles/client/files/cp-stream.ts";
import { initLimits } from "../../../../src/roles/init/limits.ts";
import { type CopyObserver, nobody } from "../../../../src/system/copy/copy-peer.ts";
import { TreeSink } from "../../../../src/system/copy/tree-sink.ts";
import { TreeSource } from "../../../../src/system/copy/tree-source.ts";
import { codeOf, eventually } from "../ask.ts";
import { TestMachine } from "../machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;
let here: string;

beforeAll(async () => {
  machine = await TestMachine.boot();
  here = mkdtempSync(join(tmpdir(), "fv-files-"));
  await machine.shell(
    "echo 'dev:x:1000:1000::/home/dev:/bin/sh' >>/etc/passwd; mkdir -p /home/dev /etc/private; chown 1000:1000 /home/dev; echo inside >/etc/hostname-inside; echo secret >/etc/private/key; chmod 700 /etc/private",
  );
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
  rmSync(here, { recursive: true });
});

interface Seen {
  readonly settled: string[];
  readonly failed: string[];
}

function watching(): Seen & { readonly observer: CopyObserver } {
  const seen: Seen = { settled: [], failed: [] };
  const observer: CopyObserver = {
    ...nobody,
    settled: (path, _size, outcome) => seen.settled.push(`${outcome} ${path}`),
    failed: (_path, code, message) => seen.failed.push(`${code} ${message}`),
  };
  return { ...seen, observer };
}

const connection = {
  openStream: () => machine.connect(),
  closed: new Promise<never>(() => undefined),
};

async function upload(source: string, destination: string, user?: string): Promise<Seen> {
  const seen = watching();
  const { observer } = seen;
  const sources = [Buffer.from(source)];
  const peer = new TreeSource({
    sources,
    glob: false,
    recursive: true,
    exclude: [],
    digests: true,
    observer,
  });
  const sink = { existing: "replace", dry_run: false, preserve: false } as const;
  const job = { type: "receive", destination, into_folder: false, ...sink } as const;
  await copyOver(connection, { user, job }, peer);
  return seen;
}

async function download(
  source: string,
  destination: string,
  user?: string,
  over: Parameters<typeof copyOver>[0] = connection,
): Promise<Seen> {
  const seen = watching();
  const peer = new TreeSink({
    existing: "replace",
    dry_run: false,
    preserve: false,
    destination: Buffer.from(destination),
    intoFolder: false,
    umask: 0o022,
    modeMask: 0o777,
    showsDigests: true,
    observer: seen.observer,
  });
  const job = { type: "send", sources: [source], recursive: true, exclude: [] } as const;
  await copyOver(over, { user, job: { ...job, sources: [source], exclude: [] } }, peer);
  return seen;
}

test("what is there already is replaced where its path leads, in there", async () => {
  await machine.shell(
    "cd /home/dev; mkdir -p etc; echo old >etc/real; ln -s real etc/near; ln -s /home/dev/etc/near far",
  );
  const source = join(here, "new");
  for (const [path, leadsTo] of [
    ["etc/real", "etc/real"],
    ["etc/near", "etc/real"],
    ["far", "etc/real"],
  ] as const) {
    writeFileSync(source, `by ${path}\n`);
    const { failed } = await upload(source, `/home/dev/${path}`);
    expect(failed).toEqual([]);
    expect((await machine.shell(`cat /home/dev/${leadsTo}`)).stdout).toBe(`by ${path}\n`);
  }
  const { stdout } = await machine.shell(
    "cd /home/dev; readlink far; readlink etc/near; ls -A . etc",
  );
  expect(stdout).toContain("/home/dev/etc/near\nreal\n");
  expect(stdout).not.toContain(".part");
});

test("files are the guest's, and no link leads out", async () => {
  writeFileSync(join(machine.folder, "outer-secret"), "outer");
  await download("/etc/hostname-inside", join(here, "name"));
  expect(readFileSync(join(here, "name"), "utf8")).toBe("inside\n");
  const outer = join(machine.folder, "outer-secret");
  expect((await download(outer, join(here, "x"))).failed).toHaveLength(1);
  await machine.shell(
    `mkdir -p /links; ln -s ${machine.folder} /links/out; ln -s /../../../../etc /links/up`,
  );
  expect((await download("/links/out/outer-secret", join(here, "x"))).failed).toHaveLength(1);
  await download("/links/up/hostname-inside", join(here, "up"));
  expect(readFileSync(join(here, "up"), "utf8")).toBe("inside\n");
  // Nor for what is written.
  writeFileSync(join(here, "plant"), "plant");
  mkdirSync(join(here, "etc-outside"));
  await machine.shell(`ln -s ${here}/etc-outside /links/target`);
  expect((await upload(join(here, "plant"), "/links/target/plant")).failed).toHaveLength(1);
  expect(readdirSync(join(here, "etc-outside"))).toEqual([]);
});

test("a copy has the rights of its user, and what it writes is that user's", async () => {
  const mine = join(here, "mine");
  mkdirSync(join(mine, "sub"), { recursive: true });
  writeFileSync(join(mine, "sub/file"), "mine");
  expect((await upload(mine, "copied", "dev")).settled).toEqual([`written ${mine}/sub/file`]);
  const { stdout } = await machine.shell(
    "stat -c '%u:%g %n' /home/dev/copied /home/dev/copied/sub/file",
  );
  expect(stdout).toBe("1000:1000 /home/dev/copied\n1000:1000 /home/dev/copied/sub/file\n");
  const denied = await download("/etc/private/key", join(here, "key"), "dev");
  expect(denied.failed).toEqual(["denied /etc/private/key: permission denied"]);
  expect((await upload(join(mine, "sub/file"), "/etc/mine", "dev")).failed[0]).toStartWith(
    "denied /etc/mine",
  );
  // Root's copy over a file of somebody leaves it theirs.
  const over = await upload(join(mine, "sub/file"), "/home/dev/copied/sub/file", "root");
  expect(over.failed).toEqual([]);
  expect((await machine.shell("stat -c %u /home/dev/copied/sub/file")).stdout).toBe("1000\n");
  expect(await codeOf(upload(mine, "x", "nobody-here"))).toBe("command-failed-to-start");
});

test("the process has no capability that files do not need, no network, and is out of sight", async () => {
  const { frames } = await open();
  const [pid = 0] = copyPids();
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  expect(status).toContain("CapEff:\t000000000000001b");
  expect(status).toContain("CapPrm:\t000000000000001b");
  expect(status).toContain("NoNewPrivs:\t1");
  expect(status).toContain("Uid:\t0\t0\t0\t0");
  const threads = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== String(pid));
  const outside = threads.map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"),
  );
  expect(outside.length).toBeGreaterThan(0);
  // Those are still in our own root: they must be able to do nothing there.
  for (const thread of outside) {
    expect(thread).toMatch(/^CapPrm:\t0{16}$/m);
    expect(thread).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
    expect(thread).toMatch(/^Groups:\t *$/m);
  }
  expect(readFileSync(`/proc/${pid}/net/dev`, "utf8").trim().split("\n")).toHaveLength(3);
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()).toBe("0");
  expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain("MIMALLOC_PURGE_DELAY=1000\0");
  const dump = readFileSync(`/proc/${pid}/cmdline`, "utf8");
  expect(dump).not.toContain("token");
  expect((await machine.shell("ps")).stdout).not.toContain("files");
  await frames.stream.end();
  expect(await frames.read()).toBeNull();
  await gone();
});

test("a client that reads slowly gets all of it", async () => {
  await machine.shell("dd if=/dev/urandom of=/large bs=1M count=12 2>/dev/null");
  const slow = {
    ...connection,
    openStream: async () => {
      const stream = await machine.connect();
      const read = async (): Promise<Uint8Array | null> => {
        await Bun.sleep(2);
        return stream.read();
      };
      return {
        read,
        write: (bytes: Uint8Array) => stream.write(bytes),
        end: () => stream.end(),
        abort: (code: number) => stream.abort(code),
      };
    },
  };
  expect((await download("/large", join(here, "large"), undefined, slow)).failed).toEqual([]);
  const digest = (await machine.shell("sha256sum </large")).stdout.slice(0, 64);
  const ours = new Bun.CryptoHasher("sha256")
    .update(readFileSync(join(here, "large")))
    .digest("hex");
  expect(ours).toBe(digest);
});

test("what a client says before it is answered is not lost", async () => {
  // So many that the source looks for something said by the client in between.
  await machine.shell("mkdir /many && cd /many && seq 2500 | xargs touch");
  const frames = new FrameStream(await machine.connect());
  const job = { type: "send", sources: ["/many"], recursive: true, exclude: [] };
  const said = [
    encodeFrame(frameTypes.request, encodeJson({ type: "files" })),
    encodeFrame(frameTypes.fileJob, encodeJson(job)),
  ];
  await frames.stream.write(Buffer.concat(said));
  const heard: unknown[] = [];
  for (let count = 0; count < 4; count++) heard.push((await frames.read())?.type);
  const { ok, fileTotal, fileEntry } = frameTypes;
  expect(heard).toEqual([ok, fileTotal, fileEntry, fileEntry]);
  await frames.stream.end();
  await gone();
});

test("its bytes do not pass through the keeper", async () => {
  writeFileSync(join(here, "x"), Buffer.alloc(12 * 1024 * 1024, "x"));
  const before = passedByKeeper();
  expect((await upload(join(here, "x"), "/x")).failed).toEqual([]);
  expect((await download("/x", join(here, "back"))).failed).toEqual([]);
  expect(statSync(join(here, "back")).size).toBe(12 * 1024 * 1024);
  expect(passedByKeeper() - before).toBeLessThan(1024 * 1024);
});

test("one that a file system holds up is ended some time after its client has left", async () => {
  await gone();
  const { frames } = await open();
  const [pid = 0] = copyPids();
  process.kill(pid, "SIGSTOP");
  frames.stream.abort(0);
  await gone();
});

test("one that is killed before its first word leaves it to the keeper", async () => {
  // It takes tens of milliseconds to get there, which a busy computer may not leave us.
  let outcome = "ok";
  for (let attempt = 0; attempt < 20 && outcome === "ok"; attempt++) {
    await gone();
    const opening = open().then(leaveAtOnce, codeOfError);
    const [pid = 0] = await eventually(
      async () => copyPids(),
      (pids) => pids.length > 0,
    );
    process.kill(pid, "SIGKILL");
    outcome = await opening;
  }
  expect(outcome).toBe("internal");
});

function leaveAtOnce({ frames }: Opened): string {
  frames.stream.abort(0);
  return "ok";
}

function codeOfError(error: unknown): string {
  return error instanceof RemoteError ? error.code : String(error);
}

test("it ends with its stream, with the workload, and at a mistake of the client", async () => {
  const ended = await open();
  await ended.frames.stream.end();
  await gone();
  const aborted = await open();
  aborted.frames.stream.abort(0);
  await gone();
  const wrong = await open();
  await wrong.frames.stream.write(Uint8Array.of(0x44, 0, 0, 0, 0));
  expect((await wrong.frames.read())?.type).toBe(0x03);
  await gone();
});

test("there are only so many at once", async () => {
  const opened = [];
  for (let count = 0; count < initLimits.guestProcessesMax; count++) opened.push(await open());
  expect(await codeOf(open())).toBe("limit");
  for (const { frames } of opened) frames.stream.abort(0);
  await gone();
  const { frames } = await open();
  await frames.stream.end();
  await gone();
});

interface Opened {
  readonly frames: FrameStream;
  readonly reply: FilesReply;
}

async function open(): Promise<Opened> {
  const frames = new FrameStream(await machine.connect());
  return { frames, reply: await request(frames, { type: "files" }, filesReplySchema) };
}

/** What its main thread read and wrote but for sockets; of the whole process the kernel counts its dead children too. */
function passedByKeeper(): number {
  const io = readFileSync(`/proc/${machine.pid}/task/${machine.pid}/io`, "utf8");
  return Number(/^rchar: (\d+)$/m.exec(io)?.[1]) + Number(/^wchar: (\d+)$/m.exec(io)?.[1]);
}

/** Children of the machine's init that serve copies. */
function copyPids(): number[] {
  const children = readFileSync(`/proc/${machine.pid}/task/${machine.pid}/children`, "utf8");
  return children
    .split(" ")
    .filter((pid) => pid !== "")
    .filter((pid) => commandLine(pid).includes("\0files\0"))
    .map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

async function gone(): Promise<void> {
  await eventually(
    async () => copyPids(),
    (pids) => pids.length === 0,
  );
}
