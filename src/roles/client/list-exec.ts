import { defineCommand } from "../../cli/command.ts";
import { FrameStream } from "../../protocol/frame.ts";
import { request, sessionListSchema } from "../../protocol/message.ts";
import { answer } from "./answer.ts";
import { asFailure } from "./remote-failure.ts";
import { stopBefore } from "./stop-before.ts";
import { linkFlags, openLink, readVault, reconnectMsOf, transportOf } from "./vault-link.ts";

export const listExec = defineCommand({
  name: "list-exec",
  summary: "List the sessions of a vault as JSON",
  positionals: { vault: { name: "VAULT" } },
  flags: linkFlags,
  description:
    "One array, oldest first; each session has session_id, argv, context, attached and exit_code (null while it runs). Beside them: name, state, exit, user, cwd, pid, tty, clients, stdout_bytes, stderr_bytes, started_at, ended_at, generation.",
  examples: ["fly-vault list-exec my-dev | jq -r '.[].session_id'"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(
      positionals.vault,
      { tokenFile: flags["token-file"], quiet: global.quiet },
      context,
    );
    const reconnectMs = reconnectMsOf(flags.reconnect);
    return stopBefore(context, async (_, leaving) => {
      const transport = transportOf(flags.transport);
      const options = { tokenFile: flags["token-file"], reconnectMs, transport, ...global };
      const link = await openLink(vault, options, context);
      leaving(async () => link.close());
      try {
        const connection = await link.connection();
        const frames = new FrameStream(await connection.openStream());
        const { sessions } = await answer(request(frames, { type: "sessions" }, sessionListSchema));
        await context.stdout.write(`${JSON.stringify(sessions, undefined, 2)}\n`);
        return 0;
      } catch (error) {
        throw asFailure(error, vault.config.name);
      } finally {
        await link.close();
      }
    });
  },
});
