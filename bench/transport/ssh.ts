import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childEnv } from "../../src/system/child-env.ts";
import { childCpuSeconds, type Direction, ownCpuSeconds, type Subject } from "./subject.ts";

/** OpenSSH over its own sshd on loopback with throw-away keys: pipes, or `ssh -L`. Null without sshd. */
export async function openSsh(mode: "pipe" | "forward"): Promise<Subject | null> {
  const [ssh, sshd] = [Bun.which("ssh"), Bun.which("sshd") ?? "/usr/sbin/sshd"];
  if (ssh === null || !(await Bun.file(sshd).exists())) return null;
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-ssh-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  await prepare(folder);
  const env = childEnv(process.env);
  await Bun.spawn(["mkdir", "-p", "/run/sshd"], { env }).exited;
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", "/dev/null", ...daemonOptions(folder, port)], {
    env,
    stderr: "ignore",
  });
  const base = [ssh, ...clientOptions(folder, port), "127.0.0.1"];
  let cpu = 0;
  const run = async (command: readonly string[], bytes: number): Promise<void> => {
    const child = Bun.spawn([...base, ...command], {
      env,
      stdin: bytes > 0 ? new Response(zeros(bytes)) : "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    for await (const _ of child.stdout);
    if ((await child.exited) !== 0) throw new Error(`ssh ended with ${child.exitCode}`);
    const usage = child.resourceUsage();
    cpu += Number(usage?.cpuTime.total ?? 0) / 1e6;
  };
  await Bun.sleep(300);
  const forward = mode === "forward" ? await openForward(base, env) : undefined;
  return {
    name: mode === "pipe" ? "ssh (pipe)" : "ssh -L",
    megabytes: 256,
    connect: () => run(["true"], 0),
    transfer: async (direction: Direction, streams: number, bytes: number) => {
      const one = (): Promise<void> => {
        if (forward !== undefined) return forward.transfer(direction, bytes);
        if (direction === "up") return run(["cat", ">/dev/null"], bytes);
        return run(["head", "-c", String(bytes), "/dev/zero"], 0);
      };
      await Promise.all(Array.from({ length: streams }, one));
    },
    cpuSeconds: () =>
      cpu + ownCpuSeconds() + childCpuSeconds(daemon.pid) + (forward?.cpuSeconds() ?? 0),
    [Symbol.asyncDispose]: async () => {
      await forward?.close();
      daemon.kill();
      await daemon.exited;
      rmSync(folder, { recursive: true });
    },
  };
}

interface Forward {
  transfer(direction: Direction, bytes: number): Promise<void>;
  cpuSeconds(): number;
  close(): Promise<void>;
}

/** A TCP service here, reached through `ssh -L`: the first byte says up or down, then the size. */
async function openForward(base: readonly string[], env: Record<string, string>): Promise<Forward> {
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once("data", (head: Buffer) => {
      if (head[0] !== 2) {
        socket.on("data", () => undefined);
        socket.on("end", () => socket.end("x"));
        return;
      }
      let left = head.readDoubleBE(1);
      const more = (): void => {
        while (left > 0) {
          left -= block.byteLength;
          if (!socket.write(block)) {
            socket.once("drain", more);
            return;
          }
        }
        socket.end();
      };
      more();
    });
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  const target = service.address();
  const targetPort = typeof target === "object" && target !== null ? target.port : 0;
  const port = 40_000 + Math.floor(Math.random() * 20_000);
  const words = [...base.slice(0, -1), "-N", "-L", `127.0.0.1:${port}:127.0.0.1:${targetPort}`];
  const child = Bun.spawn([...words, "127.0.0.1"], { env, stderr: "ignore" });
  await Bun.sleep(700);
  return {
    transfer: (direction, bytes) => throughTcp(port, direction, bytes),
    cpuSeconds: () => childCpuSeconds(child.pid),
    close: async () => {
      child.kill();
      await child.exited;
      service.close();
    },
  };
}

async function throughTcp(port: number, direction: Direction, bytes: number): Promise<void> {
  const { connect } = await import("node:net");
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  const head = Buffer.alloc(9);
  head[0] = direction === "up" ? 1 : 2;
  head.writeDoubleBE(bytes, 1);
  socket.write(head);
  const ended = new Promise((resolve) => socket.once("end", resolve));
  socket.on("data", () => undefined);
  if (direction === "up") {
    await Bun.sleep(5);
    for (let sent = 0; sent < bytes; sent += block.byteLength) {
      if (!socket.write(block)) await new Promise((resolve) => socket.once("drain", resolve));
    }
  }
  socket.end();
  await ended;
}

export async function prepare(folder: string): Promise<void> {
  for (const name of ["host", "user"]) {
    const words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)];
    await Bun.spawn(words, { env: childEnv(process.env) }).exited;
  }
  await Bun.write(join(folder, "authorized"), Bun.file(join(folder, "user.pub")));
}

export function daemonOptions(folder: string, port: number): string[] {
  return Object.entries({
    Port: port,
    ListenAddress: "127.0.0.1",
    HostKey: join(folder, "host"),
    AuthorizedKeysFile: join(folder, "authorized"),
    StrictModes: "no",
    UsePAM: "no",
    PidFile: "none",
    PermitRootLogin: "yes",
    MaxStartups: "100",
    MaxSessions: "100",
  }).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

export function clientOptions(folder: string, port: number): string[] {
  return [
    "-Fnone",
    `-p${port}`,
    `-i${join(folder, "user")}`,
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oBatchMode=yes",
    "-oCompression=no",
  ];
}

function zeros(bytes: number): ReadableStream<Uint8Array> {
  let left = bytes;
  return new ReadableStream({
    pull: (controller) => {
      if (left <= 0) controller.close();
      else controller.enqueue(block);
      left -= block.byteLength;
    },
  });
}

const block = Buffer.alloc(64 * 1024);
