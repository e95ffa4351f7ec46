import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import ssh2 from "ssh2";
import { Writer } from "../../../src/protocol/wire.ts";
import { hostKeyAt } from "../../../src/roles/init/ssh/host-key.ts";
import { sshLimits } from "../../../src/roles/init/ssh/limits.ts";
import { mayBeSet, SshEnvironment } from "../../../src/roles/init/ssh/ssh-environment.ts";
import { SshForwards } from "../../../src/roles/init/ssh/ssh-forwards.ts";
import { signalName, signalNumber } from "../../../src/roles/init/ssh/ssh-signals.ts";
import { modesOf } from "../../../src/roles/init/ssh/ssh2-terminal-modes.ts";
import { connectTcp } from "../../../src/system/tcp-stream.ts";
import { rejection } from "../../support/rejection.ts";
import { seeded } from "../../support/seed.ts";

describe("the environment of a session", () => {
  test("takes languages, colours, git and editors, and nothing that changes how programs load", () => {
    for (const name of ["LANG", "LC_ALL", "COLORTERM", "GIT_AUTHOR_NAME", "VSCODE_IPC"])
      expect(mayBeSet(name)).toBe(true);
    for (const name of ["LD_PRELOAD", "PATH", "BASH_ENV", "HOME", "", "LANGUAGE_X"])
      expect(mayBeSet(name)).toBe(false);
  });

  test("has room for so many variables and so much text", () => {
    const many = new SshEnvironment();
    for (let count = 0; count < sshLimits.variablesMax; count++)
      expect(many.set(`LC_${count}`, "")).toBe(true);
    expect(many.set("LC_MORE", "")).toBe(false);
    const large = new SshEnvironment();
    expect(large.set("LC_A", "x".repeat(sshLimits.variablesBytesMax))).toBe(false);
    expect(large.set("LC_A", "x".repeat(sshLimits.variablesBytesMax - 4))).toBe(true);
    expect(large.set("LC_B", "")).toBe(false);
    expect(new SshEnvironment().set("LC_A", "a\0b")).toBe(false);
  });
});

describe("terminal modes", () => {
  test("are read as RFC 4254 has them, IUTF8 and speeds included", () => {
    const modes = new Writer().u8(129).u32(38_400).u8(3).u32(8).u8(42).u32(1).u8(0).finish();
    expect(modesOf(terminalRequest(modes))).toEqual([
      [129, 38_400],
      [3, 8],
      [42, 1],
    ]);
  });

  test("end at what nobody knows the length of, and never throw", () => {
    const odd = new Writer().u8(1).u32(3).u8(200).u32(7).finish();
    expect(modesOf(terminalRequest(odd))).toEqual([[1, 3]]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
        modesOf(bytes);
        expect(modesOf(terminalRequest(bytes))?.length ?? 0).toBeLessThan(160);
      }),
      seeded(500),
    );
  });
});

test("signals have the names of the RFC, and come back as the same number", () => {
  expect(signalNumber("TERM")).toBe(15);
  expect(signalNumber("SIGTERM")).toBeUndefined();
  expect(signalNumber("toString")).toBeUndefined();
  expect(signalName(9)).toBe("KILL");
  expect(signalName(64)).toBe("SIG64@fly-vault");
});

/** As ssh2 makes it of a public key that begins with a zero: one byte is missing, in both places. */
const cutShort = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMgAAAAtz
c2gtZWQyNTUxOQAAAB9xccwf3o+XfyOPjs6f3UfL6AMoW3BATAeDvId+bHcIAAAA
iL6O5Ey+juRMAAAAC3NzaC1lZDI1NTE5AAAAH3FxzB/ej5d/I4+Ozp/dR8voAyhb
cEBMB4O8h35sdwgAAAA/Zr+rGlvzgGNA7qQVxx4oFQmzFDq65BTh9neQLlvkd/Rx
ccwf3o+XfyOPjs6f3UfL6AMoW3BATAeDvId+bHcIAAAAAAECAwQFBgc=
-----END OPENSSH PRIVATE KEY-----
`;

describe("the host key", () => {
  const folder = mkdtempSync(join(tmpdir(), "fv-host-key-"));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("is made once, for root alone, and not believed when others may write it", async () => {
    const path = join(folder, "own", "key");
    const [one, two] = await Promise.all([hostKeyAt(path), hostKeyAt(path)]);
    expect(one).toEqual(two);
    expect(one.publicKey).toMatch(/^ssh-ed25519 [A-Za-z0-9+/]{68}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).toBe(one.privateKey);
    writeFileSync(path, "x".repeat(sshLimits.hostKeyBytesMax + 1));
    expect(hostKeyAt(path)).rejects.toThrow(/bytes/);
  });

  test("is none that its library cannot read again", async () => {
    const generate = spyOn(ssh2.utils, "generateKeyPairSync");
    try {
      generate.mockImplementationOnce(() => ({ private: cutShort, public: "" }));
      const { privateKey } = await hostKeyAt(join(folder, "other", "key"));
      expect(privateKey).not.toBe(cutShort);
      expect(generate).toHaveBeenCalledTimes(2);
    } finally {
      generate.mockRestore();
    }
  });
});

test("one connection listens on so many ports and no more", () => {
  const forwards = new SshForwards({
    client: {} as never,
    transport: {} as never,
    guest: {} as never,
    account: { name: "root", uid: 0, gid: 0, groups: [], home: "/", shell: "/bin/sh" },
  });
  try {
    for (let count = 0; count < sshLimits.listenersMax; count++)
      expect(forwards.listenOnPort("localhost", 0)).toBeGreaterThan(0);
    expect(() => forwards.listenOnPort("localhost", 0)).toThrow(RangeError);
  } finally {
    forwards.closeAll();
  }
  const port = forwards.listenOnPort("localhost", 0);
  expect(forwards.closePort("localhost", port)).toBe(true);
  expect(forwards.closePort("localhost", port)).toBe(false);
});

describe("sockets that one connection listens on in the guest", () => {
  test("count before they are there", async () => {
    const { forwards, ready, open } = slowGuest();
    const asked = Array.from({ length: sshLimits.listenersMax + 5 }, (_, at) =>
      forwards.listenOnSocket(`/${at}`).then(
        () => "yes",
        () => "no",
      ),
    );
    ready();
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer === "no")).toHaveLength(5);
    expect(open()).toBe(sshLimits.listenersMax);
    forwards.closeAll();
    expect(open()).toBe(0);
  });

  test("do not outlive a connection that ended meanwhile", async () => {
    const { forwards, ready, open } = slowGuest();
    const asked = forwards.listenOnSocket("/one");
    forwards.closeAll();
    ready();
    await asked;
    expect(open()).toBe(0);
  });
});

test("programs of the guest open no more channels of a client than it may itself", async () => {
  let count: number = sshLimits.channelsMax - 1;
  const client = {
    _chanMgr: {
      get _count() {
        return count;
      },
    },
    forwardOut: () => {
      count += 1;
    },
  };
  const forwards = new SshForwards({
    client: client as never,
    transport: {} as never,
    guest: {} as never,
    account: { name: "root", uid: 0, gid: 0, groups: [], home: "/", shell: "/bin/sh" },
  });
  const port = forwards.listenOnPort("127.0.0.1", 0);
  try {
    const first = await connectTcp({ host: "127.0.0.1", port });
    const second = await connectTcp({ host: "127.0.0.1", port });
    expect(await rejection(second.read())).toMatchObject({ kind: "reset" });
    expect(count).toBe(sshLimits.channelsMax);
    first.abort(0);
  } finally {
    forwards.closeAll();
  }
});

/** Each is there when the test says so. */
function slowGuest() {
  const turn = Promise.withResolvers<void>();
  let open = 0;
  const listen = async () => {
    await turn.promise;
    open += 1;
    return { port: 0, close: () => void (open -= 1) };
  };
  const forwards = new SshForwards({
    client: {} as never,
    transport: {} as never,
    guest: { listen } as never,
    account: { name: "root", uid: 0, gid: 0, groups: [], home: "/", shell: "/bin/sh" },
  });
  return { forwards, ready: () => turn.resolve(), open: () => open };
}

function terminalRequest(modes: Uint8Array): Uint8Array {
  const type = new TextEncoder().encode("pty-req");
  const writer = new Writer().u8(98).u32(0).u32(type.length).bytes(type).u8(1);
  writer.u32(2).bytes(new Uint8Array(2)).bytes(new Uint8Array(16));
  return writer.u32(modes.length).bytes(modes).finish();
}
