import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  backend,
  childrenOf,
  cpuSecondsOf,
  pinned,
  residentBytesOf,
  type Subject,
} from "./subject.ts";

/** nginx's stream module with one worker; null where it is not installed. */
export async function openNginx(): Promise<Subject | null> {
  const program = Bun.which("nginx", { PATH: searchPath });
  if (program === null || !existsSync(streamModule)) return null;
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-nginx-"));
  const port = 40_901;
  writeFileSync(
    join(folder, "nginx.conf"),
    `load_module ${streamModule};
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
worker_rlimit_nofile 60000;
events { worker_connections 50000; }
stream {
  server {
    listen 127.0.0.1:${port} udp rcvbuf=8m sndbuf=8m;
    proxy_pass ${backend.host}:${backend.port};
    proxy_timeout 180s;
  }
}
`,
  );
  const child = Bun.spawn([...pinned(1), program, "-c", join(folder, "nginx.conf"), "-p", folder], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await Bun.sleep(500);
  return {
    name: "nginx",
    address: { host: "127.0.0.1", port },
    cpuSeconds: () => cpuSecondsOf(child.pid),
    residentBytes: () => residentBytesOf(child.pid),
    close: async () => {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true });
    },
  };
}

/** One process for each client; null where it is not installed. */
export async function openSocat(): Promise<Subject | null> {
  const program = Bun.which("socat", { PATH: searchPath });
  if (program === null) return null;
  const port = 40_902;
  const child = Bun.spawn(
    [
      ...pinned(1),
      program,
      `UDP4-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr`,
      `UDP4:${backend.host}:${backend.port}`,
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  await Bun.sleep(300);
  const all = (): number[] => [child.pid, ...childrenOf(child.pid)];
  const sum = (of: (pid: number) => number): number =>
    all().reduce((total, pid) => total + of(pid), 0);
  return {
    name: "socat",
    address: { host: "127.0.0.1", port },
    cpuSeconds: () => sum(cpuSecondsOf),
    residentBytes: () => sum(residentBytesOf),
    close: async () => {
      const processes = all();
      child.kill("SIGKILL");
      await child.exited;
      for (const pid of processes.slice(1)) process.kill(pid, "SIGKILL");
    },
  };
}

const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";
const searchPath = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
