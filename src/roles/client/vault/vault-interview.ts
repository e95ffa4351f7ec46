import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { Prompt } from "../../../cli/prompt.ts";
import { checkToken } from "./access-token.ts";
import type { CheckList } from "./check-list.ts";
import { answerProblem, draftConfig, type VaultDraft } from "./vault-draft.ts";
import { VaultProbe } from "./vault-probe.ts";

export interface InterviewOptions {
  /** Undefined where nothing is to be checked. */
  readonly checks: CheckList | undefined;
  readonly isTaken: (name: string) => boolean;
}

/**
 * Asks for what the draft lacks. Each answer is checked before the next question, so that nobody
 * types a token for a machine that does not answer, or is not theirs.
 */
export async function interview(
  draft: VaultDraft,
  { checks, isTaken }: InterviewOptions,
  context: Context,
): Promise<void> {
  const prompt = new Prompt(context);
  const asking = new Interview(draft, prompt, context);
  if (await asking.ask("address", "address (host:port of the machine or proxy)")) {
    if (draft.admission_key === undefined)
      await asking.askHidden("admission_key", "admission key, if you were given one");
    await checks?.answers(new VaultProbe(draftConfig(draft, context.env), context));
  }
  const askedOrg = await asking.ask("org", "organisation on Fly");
  const askedApp = await asking.ask("app", "app on Fly");
  if (askedOrg || askedApp)
    await checks?.attested(new VaultProbe(draftConfig(draft, context.env), context));
  await asking.ask("name", "name for it here", { fallback: draft.app, isTaken });
  await asking.askToken();
}

class Interview {
  readonly #draft: VaultDraft;
  readonly #prompt: Prompt;
  readonly #context: Context;

  constructor(draft: VaultDraft, prompt: Prompt, context: Context) {
    this.#draft = draft;
    this.#prompt = prompt;
    this.#context = context;
  }

  /** Whether it had to be asked. */
  async ask(
    key: "address" | "org" | "app" | "name",
    question: string,
    {
      fallback,
      isTaken,
    }: { fallback?: string | undefined; isTaken?: InterviewOptions["isTaken"] } = {},
  ): Promise<boolean> {
    if (this.#draft[key] !== undefined) return false;
    for (;;) {
      const answer = await this.#prompt.line(question, fallback);
      const problem =
        isTaken?.(answer) === true ? "is taken by another vault" : answerProblem(key, answer);
      if (problem === undefined) {
        this.#draft[key] = answer;
        return true;
      }
      await this.#context.stderr.write(`  it ${problem}\n`);
    }
  }

  /** May be left empty. */
  async askHidden(key: "admission_key", question: string): Promise<void> {
    for (;;) {
      const answer = await this.#prompt.hidden(question);
      if (answer === "") return;
      const problem = answerProblem(key, answer);
      if (problem === undefined) {
        this.#draft[key] = answer;
        return;
      }
      await this.#context.stderr.write(`  it ${problem}\n`);
    }
  }

  async askToken(): Promise<void> {
    if (this.#draft.access_token !== undefined) return;
    this.#draft.access_token = await askToken(this.#draft.name ?? "", this.#prompt, this.#context);
  }
}

/** Until what is typed can be a token. */
export async function askToken(vault: string, prompt: Prompt, context: Context): Promise<string> {
  for (;;) {
    const text = await prompt.hidden("access token");
    try {
      const { token, warnings } = checkToken({ name: vault }, { text, source: "the terminal" });
      for (const line of warnings) await context.stderr.write(`warning: ${line}\n`);
      return token;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      await context.stderr.write(`  ${error.message}\n`);
    }
  }
}
