/** One word for a POSIX shell, whatever is in it: for lines that a person copies. */
export function shellWord(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
