import type { AccountApi, AppStatus, CurrentToken } from "../../fly/account-api.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import { apiFailure } from "./api-failure.ts";
import type { Check, CheckOutcome } from "../../cli/check.ts";

/** Whether Fly takes the token and has the app, and what it lets us do there. Makes and changes nothing. */
export function accountChecks(
  account: AccountApi,
  app: string,
  options: { readonly needs: readonly string[]; readonly wallMs: () => number },
): Check[] {
  const needs = [...options.needs, "token"];
  return [
    {
      name: "token",
      title: "API token",
      needs: options.needs,
      run: async () => checkToken(account, app),
    },
    { name: "app", title: "app", needs, run: async () => checkApp(account, app) },
    {
      name: "create-machines",
      title: "right to make machines",
      needs: [...needs, "app"],
      run: async () => checkCreate(account, app),
    },
    {
      name: "clock",
      title: "clock",
      needs: [...needs, "app"],
      run: async () => checkClock(account, app, options.wallMs),
    },
  ];
}

async function checkToken(account: AccountApi, app: string): Promise<CheckOutcome> {
  let tokens: readonly CurrentToken[];
  try {
    tokens = await account.readTokens();
  } catch (error) {
    if (error instanceof MachinesApiError && error.kind === "not-found")
      return { status: "skipped", detail: "this API does not tell of what kind it is" };
    return callOutcome(error, `fly tokens create deploy --app ${app}, and set FLY_API_TOKEN`);
  }
  const detail = `accepted: ${tokens.map(tokenWords).join("; ") || "Fly names no kind"}`;
  const fitting = tokens.some(({ apps }) => apps.length === 0 || apps.includes(app));
  const deploy = `fly tokens create deploy --app ${app}`;
  if (tokens.length > 0 && !fitting)
    return { status: "failed", detail: `${detail}; none of it for app "${app}"`, fix: deploy };
  if (!tokens.some(({ user, machine }) => user !== undefined && machine === undefined))
    return { status: "ok", detail };
  return {
    status: "warning",
    detail,
    fix: `a person's token ends with their login; for programs: ${deploy}`,
  };
}

function tokenWords({ organisation, apps, user, machine }: CurrentToken): string {
  const where = organisation === undefined ? "" : ` of organisation ${organisation}`;
  if (machine !== undefined) return `of machine ${machine}${where}`;
  if (user !== undefined) return `of a person${where}`;
  return apps.length > 0 ? `for app ${apps.join(", ")}${where}` : `for all apps${where}`;
}

async function checkApp(account: AccountApi, app: string): Promise<CheckOutcome> {
  let seen: AppStatus;
  try {
    seen = await account.readApp(app);
  } catch (error) {
    if (error instanceof MachinesApiError && error.kind === "not-found")
      return {
        status: "failed",
        detail: `there is no app "${app}"`,
        fix: `fly apps create ${app}, or name another with --app`,
      };
    return callOutcome(error, "it may be of another organisation: check --app and the token");
  }
  const { organisation, status } = seen;
  const where = organisation === undefined ? "" : ` in organisation ${organisation}`;
  return { status: "ok", detail: `"${app}" is there${where}, ${status ?? "its status unknown"}` };
}

/** Asks Fly whether it would be allowed. */
async function checkCreate(account: AccountApi, app: string): Promise<CheckOutcome> {
  try {
    await account.checkMayCreate(app);
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
    if (error.status === 403)
      return callOutcome(error, `a token that may: fly tokens create deploy --app ${app}`);
    return { status: "skipped", detail: "this API does not tell without making one" };
  }
  return { status: "ok", detail: "Fly would let this token make, change and remove them" };
}

/** Evidence and admissions are refused where clocks are a minute apart. */
async function checkClock(
  account: AccountApi,
  app: string,
  wallMs: () => number,
): Promise<CheckOutcome> {
  const beginMs = wallMs();
  let seen: AppStatus;
  try {
    seen = await account.readApp(app);
  } catch (error) {
    return callOutcome(error);
  }
  if (seen.serverDateMs === undefined)
    return { status: "skipped", detail: "the API does not tell its time" };
  // The header has whole seconds, and was written somewhere between our two looks at the clock.
  const aheadMs = (beginMs + wallMs()) / 2 - (seen.serverDateMs + 500);
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  if (seconds <= skewSecondsOk)
    return { status: "ok", detail: `within ${skewSecondsOk} s of the API's` };
  return {
    status: seconds >= skewSecondsMax ? "failed" : "warning",
    detail: `${seconds} s ${aheadMs > 0 ? "ahead of" : "behind"} the API's`,
    fix: "set the clock: timedatectl set-ntp true",
  };
}

/** A call that failed, as its own words have it. Throws what is no `MachinesApiError`. */
export function callOutcome(error: unknown, fix?: string): CheckOutcome {
  if (!(error instanceof MachinesApiError)) throw error;
  const { message, because = "", fix: usual } = apiFailure(error);
  const cure = error.kind === "unauthorised" ? (fix ?? usual) : (usual ?? fix);
  return {
    status: "failed",
    detail: `${message}: ${because}`,
    fix: cure ?? "try again in a minute",
  };
}

const skewSecondsOk = 5;
const skewSecondsMax = 60;
