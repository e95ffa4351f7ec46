/** The bytes are no JSON we are willing to read. */
export class StrictJsonError extends Error {
  override readonly name = "StrictJsonError";
}

/**
 * JSON of which no two readers can make different things: UTF-8 without a byte order mark, no name
 * twice in one object (parsers differ in which one wins), bounded depth and number of members.
 */
export function parseStrictJson(
  bytes: Uint8Array,
  bounds: { readonly depthMax: number; readonly membersMax: number },
): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError("not UTF-8");
  }
  // Before JSON.parse, so that what it recurses into is bounded.
  checkStructure(text, bounds);
  try {
    return JSON.parse(text);
  } catch {
    throw new StrictJsonError("not JSON");
  }
}

/** One pass over the tokens. Text that is not JSON may pass here; JSON.parse refuses it afterwards. */
function checkStructure(text: string, bounds: { depthMax: number; membersMax: number }): void {
  /** Names seen in each open object; null for an open array. */
  const open: (Set<string> | null)[] = [];
  let members = 0;
  let pending: string | undefined;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/gs)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : null);
      if (open.length > bounds.depthMax)
        throw new StrictJsonError(`nested deeper than ${bounds.depthMax}`);
    } else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      addName(open.at(-1), pending);
      members += 1;
    } else if (token === ",") members += 1;
    pending = token.startsWith('"') ? token : undefined;
    if (members > 2 * bounds.membersMax)
      throw new StrictJsonError(`more than ${bounds.membersMax} members`);
  }
}

function addName(names: Set<string> | null | undefined, token: string | undefined): void {
  if (names === null || names === undefined || token === undefined) return;
  const name = unescaped(token);
  if (names.has(name)) throw new StrictJsonError("a name twice in one object");
  names.add(name);
}

/** `"machine\u005fid"` is the same name as `"machine_id"`. */
function unescaped(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    throw new StrictJsonError("not JSON");
  }
}
