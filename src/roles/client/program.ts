import type { Program } from "../../cli/command.ts";
import { loadAll } from "../../cli/lazy-program.ts";
import { completionCommands } from "../../cli/completion-command.ts";
import { commands } from "./commands.ts";
import { liveNames } from "./live-names.ts";
import { topics } from "./topics.ts";

/** All of it, for help, completion and documentation. */
export const program: Program = {
  name: "fly-vault",
  summary: "A whole Linux machine on Fly.io, worked on as if it sat under the desk",
  commands: [...(await loadAll(commands)), ...completionCommands(() => program, liveNames)],
  headings: {
    "WORK IN A VAULT": ["connect", "exec", "cp", "forward", "ports", "open"],
    SESSIONS: ["run", "sessions", "logs", "attach", "wait", "kill", "session", "list-exec"],
    VAULTS: ["add", "vault", "token", "config", "verify", "trust"],
    "ROOT FILESYSTEM": ["provision", "build"],
    SSH: ["ssh-config", "ssh-proxy"],
    "FIND OUT": [
      "status",
      "doctor",
      "netcheck",
      "ping",
      "speedtest",
      "bundle",
      "explain",
      "wake",
      "stop",
      "link",
    ],
    "THIS PROGRAM": ["version", "self-update", "completion"],
  },
  topics,
  jsonOutputs: async () => (await import("./json-outputs.ts")).jsonOutputs,
};
