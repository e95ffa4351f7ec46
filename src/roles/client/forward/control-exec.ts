import type { ServerResponse } from "node:http";
import type { Context } from "../../../cli/context.ts";
import type { Exit } from "../../../protocol/session-message.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import type { ExecBody } from "./control-message.ts";
import { openRequest, randomName } from "../session/session-request.ts";
import { SessionRun } from "../session/session-run.ts";

/**
 * `POST /exec`: the output as it comes, how it ended in the trailers. A client that goes away leaves the
 * command alone; it runs to its end, and what it says is dropped.
 */
export async function execOverControl(
  link: AttestedLink,
  body: ExecBody,
  { vault, response, context }: ExecSurroundings,
): Promise<void> {
  const client = randomName(context);
  const id = body.session_id ?? randomName(context);
  const { command, env, user, timeout_ms } = body;
  const open = openRequest({
    id,
    client,
    argv: command,
    tty: false,
    ...(body.context === undefined ? {} : { context: body.context }),
    ...(body.workdir === undefined ? {} : { cwd: body.workdir }),
    ...(env === undefined ? {} : { env }),
    ...(user === undefined ? {} : { user }),
    ...(timeout_ms === undefined ? {} : { timeout_ms }),
  });
  const run = new SessionRun(
    link,
    { client, first: [open] },
    {
      output: async (_stream, bytes) => write(response, bytes),
      lost: async () => {},
      attached: (_reply, again) => {
        if (again) return;
        response.writeHead(200, {
          "content-type": "application/octet-stream",
          "x-session-id": id,
          "x-vault": vault,
          trailer: "x-exit-code, x-exit-signal",
        });
        response.flushHeaders();
      },
    },
  );
  const ended = run.run();
  // Its end may come before all of its input was taken.
  void feed(run, body).catch(() => undefined);
  const exit = await ended;
  response.addTrailers(trailersOf(exit));
  response.end();
}

interface ExecSurroundings {
  readonly vault: string;
  readonly response: ServerResponse;
  readonly context: Pick<Context, "randomBytes">;
}

async function feed(run: SessionRun, { stdin, stdin_base64 }: ExecBody): Promise<void> {
  const bytes =
    stdin_base64 === undefined ? Buffer.from(stdin ?? "") : Buffer.from(stdin_base64, "base64");
  await run.feed(new Uint8Array(bytes));
  run.endInput();
}

async function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (response.destroyed || response.writableEnded) return;
  if (response.write(bytes.slice())) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("drain", resolve);
  response.once("close", resolve);
  await promise;
}

/** As a shell counts: 128 and the signal. */
function trailersOf(exit: Exit): Record<string, string> {
  return "code" in exit
    ? { "x-exit-code": String(exit.code) }
    : { "x-exit-code": String(128 + exit.signal), "x-exit-signal": String(exit.signal) };
}
