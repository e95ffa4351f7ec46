import { programEnv } from "../../test/support/program.ts";
import { findProgram } from "../harness/sandbox.ts";

/** A command under mosh-server, and the client that shows it. Without prediction: what is seen came back. */
export interface Mosh {
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
}

/** Null where mosh is not installed. */
export function startMosh(address: string, command: readonly string[]): Mosh | null {
  const [server, client] = [findProgram("mosh-server"), findProgram("mosh-client")];
  if (server === null || client === null) return null;
  const env = programEnv();
  const started = Bun.spawnSync([server, "new", "-i", address, "--", ...command], { env });
  const [, port, key] = /MOSH CONNECT (\d+) (\S+)/.exec(started.stdout.toString()) ?? [];
  if (port === undefined || key === undefined) throw new Error(started.stderr.toString());
  return {
    argv: [client, address, port],
    env: { ...env, MOSH_KEY: key, MOSH_PREDICTION_DISPLAY: "never" },
  };
}
