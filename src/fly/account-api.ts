import * as v from "valibot";
import { parseAnswer } from "./api-answer.ts";
import { authorizationHeader } from "./api-authorization.ts";
import type { ApiAnswer, ApiRequest, ApiTransport } from "./api-transport.ts";

/** One of the tokens that a request was authorised by. */
export interface CurrentToken {
  readonly organisation: string | undefined;
  /** Empty where the token is for all apps of the organisation. */
  readonly apps: readonly string[];
  readonly user: string | undefined;
  /** The one machine that may use it. */
  readonly machine: string | undefined;
}

export interface AppStatus {
  readonly organisation: string | undefined;
  readonly status: string | undefined;
  /** The clock of the other side, to the second; undefined where it does not say. */
  readonly serverDateMs: number | undefined;
}

/** What Fly knows of a token and an app. Errors are `MachinesApiError`. */
export class AccountApi {
  readonly #transport: ApiTransport;
  readonly #token: string;
  readonly #signal: AbortSignal | undefined;

  constructor(options: {
    readonly transport: ApiTransport;
    readonly token: string;
    readonly signal?: AbortSignal;
  }) {
    this.#transport = options.transport;
    this.#token = options.token;
    this.#signal = options.signal;
  }

  async readTokens(): Promise<CurrentToken[]> {
    const action = "read token";
    const answer = await this.#call({ method: "GET", path: "/v1/tokens/current", action });
    const { tokens } = parseAnswer(tokensShape, answer, action);
    return (tokens ?? []).map((token) => ({
      organisation: token.org_slug ?? token.organization ?? undefined,
      apps: token.apps ?? [],
      user: token.user || undefined,
      machine: token.restricted_to_machine || undefined,
    }));
  }

  /** Asks whether the token may make machines in the app, and makes none. Rejects when it may not. */
  async checkMayCreate(app: string): Promise<void> {
    await this.#call({
      method: "POST",
      path: "/v1/tokens/authorize",
      action: "check rights",
      body: {
        header: authorizationHeader(this.#token),
        access: { app_name: app, action: "rwcd" },
      },
    });
  }

  async readApp(app: string): Promise<AppStatus> {
    const action = "read app";
    const path = `/v1/apps/${encodeURIComponent(app)}`;
    const answer = await this.#call({ method: "GET", path, action });
    const { organization, status } = parseAnswer(appStatusShape, answer, action);
    const dateMs = Date.parse(answer.headers.get("date") ?? "");
    return {
      organisation: organization?.slug ?? undefined,
      status: status ?? undefined,
      serverDateMs: Number.isNaN(dateMs) ? undefined : dateMs,
    };
  }

  async #call(
    request: Pick<ApiRequest, "method" | "path" | "action" | "body">,
  ): Promise<ApiAnswer> {
    return this.#transport.send({
      ...request,
      id: request.path,
      pace: "read",
      repeatable: true,
      signal: this.#signal,
    });
  }
}

const text = v.nullish(v.string());

const tokensShape = v.looseObject({
  tokens: v.nullish(
    v.array(
      v.looseObject({
        org_slug: text,
        organization: text,
        apps: v.nullish(v.array(v.string())),
        user: text,
        restricted_to_machine: text,
      }),
    ),
  ),
});

const appStatusShape = v.looseObject({
  status: text,
  organization: v.nullish(v.looseObject({ slug: text })),
});
