import type { IncomingMessage, ServerResponse } from "node:http";
import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request as ask } from "../../../protocol/message.ts";
import { sessionListSchema } from "../../../protocol/session-message.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { execOverControl } from "./control-exec.ts";
import {
  addBodySchema,
  type ControlForward,
  execBodySchema,
  removeBodySchema,
} from "./control-message.ts";
import { describe } from "./forward-words.ts";
import { DuplicateForward, type Forwards, type ForwardView } from "./forwards.ts";
import { clientLimits } from "../limits.ts";
import { asFailure } from "../link/remote-failure.ts";

/** What the requests work on. */
export interface ControlServices {
  readonly vault: string;
  readonly forwards: Forwards;
  /** Absent where only forwards are to be changed. */
  readonly link?: AttestedLink;
  readonly context: Pick<Context, "randomBytes">;
}

/** An answer that is an error, with its status. */
export class ControlError extends Error {
  override readonly name = "ControlError";
  readonly status: number;
  readonly fix: string | undefined;

  constructor(status: number, message: string, fix?: string) {
    super(message);
    this.status = status;
    this.fix = fix;
  }
}

/** One request of the control socket, from its head to its answer. Never rejects. */
export async function serveControl(
  services: ControlServices,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await route(services, request, response);
  } catch (error) {
    const { status, message, fix } = asControlError(error, services.vault);
    if (response.headersSent) response.destroy();
    else sendJson(response, status, { error: message, fix });
  }
}

async function route(
  services: ControlServices,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { forwards, link, vault } = services;
  const path = (request.url ?? "").split("?")[0];
  switch (`${request.method} ${path}`) {
    case "GET /forwards":
      return sendJson(response, 200, shown(forwards));
    case "POST /forwards": {
      const { spec, kind = "L" } = await readBody(request, addBodySchema);
      const line = await forwards.add(kind, spec);
      return sendJson(
        response,
        200,
        shown(forwards).find((each) => each.line === line),
      );
    }
    case "DELETE /forwards": {
      const body = await readBody(request, removeBodySchema);
      const line = await ("listen" in body
        ? forwards.remove(body.listen, body.kind)
        : forwards.remove(String(body.local_port)));
      return sendJson(response, 200, { line });
    }
    case "GET /list-exec":
      if (link === undefined) break;
      return sendJson(response, 200, await listSessions(link));
    case "POST /exec":
      if (link === undefined) break;
      return execOverControl(link, await readBody(request, execBodySchema), {
        vault,
        response,
        context: services.context,
      });
  }
  throw new ControlError(404, `there is no ${request.method} ${path}`);
}

async function listSessions(link: AttestedLink): Promise<unknown> {
  const connection = await link.connection();
  const frames = new FrameStream(await connection.openStream());
  const { sessions } = await answer(ask(frames, { type: "sessions" }, sessionListSchema));
  return sessions;
}

/** By where they listen. */
function shown(forwards: Forwards): ControlForward[] {
  return forwards
    .list()
    .map(shownOne)
    .toSorted((a, b) => compare(a.listen, b.listen));
}

const { compare } = new Intl.Collator("en", { numeric: true });

function shownOne(view: ForwardView): ControlForward {
  const { kind, listen, target, state, connections, line } = view;
  const port = kind === "R" ? undefined : /:(\d+)(?:-\d+)?(?:\/udp)?$/.exec(listen)?.[1];
  const localPort = port === undefined ? null : Number(port);
  return { kind, listen, local_port: localPort, target, state, connections, line };
}

async function readBody<Schema extends v.GenericSchema>(
  request: IncomingMessage,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) continue;
    length += chunk.length;
    if (length > clientLimits.controlBodyBytesMax)
      throw new ControlError(
        413,
        `the body is larger than ${clientLimits.controlBodyBytesMax} bytes`,
      );
    chunks.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new ControlError(400, "the body is not JSON");
  }
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new ControlError(400, `${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

function asControlError(error: unknown, vault: string): ControlError {
  if (error instanceof ControlError) return error;
  if (error instanceof DuplicateForward) return new ControlError(409, error.message);
  if (error instanceof UsageError) return new ControlError(400, error.message);
  const failure = asFailure(error, vault);
  if (!(failure instanceof Failure)) return new ControlError(500, describe(failure));
  const local: Readonly<Record<string, number>> = {
    "FV-FWD-001": 400,
    "FV-FWD-002": 400,
    "FV-FWD-005": 404,
    "FV-SES-001": 404,
    "FV-SES-002": 409,
  };
  return new ControlError(local[failure.code] ?? 502, describe(failure), failure.fix);
}
