/** Takes secrets out of text: those it was told, and whatever looks like one of ours. */
export class Redactor {
  readonly #secrets = new Set<string>();
  readonly #found = new Set<string>();

  /** Shorter ones would cut other words to pieces. */
  add(secret: string | undefined): void {
    if (secret !== undefined && secret.length >= secretCharsMin) this.#secrets.add(secret);
  }

  /** Different secrets taken out so far. */
  get count(): number {
    return this.#found.size;
  }

  clean(text: string): string {
    let cleaned = text;
    // First, and the longest of them: whatever else is cut out of one would leave the rest of it.
    const told = [...this.#secrets].toSorted((a, b) => b.length - a.length);
    for (const secret of told)
      if (cleaned.includes(secret)) cleaned = cleaned.replaceAll(secret, this.#take(secret));
    return cleaned
      .replaceAll(secretKeys, this.#takeValue)
      .replaceAll(inlineKeys, this.#takeValue)
      .replaceAll(shapes, (found) => this.#take(found));
  }

  /** What was told is taken out and counted already. */
  readonly #takeValue = (_found: string, key: string, value: string): string =>
    `${key}"${value.includes(mark) ? mark : this.#take(value)}"`;

  #take(secret: string): string {
    this.#found.add(secret);
    return mark;
  }
}

const secretCharsMin = 6;
const mark = "[secret]";

/** Whatever stands there on its line, however short. */
const secretKeys = /^([ \t]*(?:access_token|admission_key)[ \t]*=[ \t]*)(.+)$/gm;

/** In an inline table, behind dots, in quotes. */
const inlineKeys =
  /([{,.\s]["']?(?:access_token|admission_key)["']?[ \t]*=[ \t]*)("(?:[^"\\]|\\.)*"|'[^']*')/g;

/** Access tokens, admission keys, invites, Fly's tokens, evidence (JWT), passwords in URLs. */
const shapes =
  /fvt1_[A-Za-z0-9_-]+|fva1_\d+_[0-9a-f]{14}_[A-Za-z0-9_-]+|fly-vault:\/\/\S+|(?:FlyV1 )?fm[12][ar]?_[A-Za-z0-9+/=_,-]+|eyJ[\w-]+\.[\w-]+\.[\w-]+|(?<=:\/\/)[^/\s:@]+:[^/\s@]+(?=@)/g;
