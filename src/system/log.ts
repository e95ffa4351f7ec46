/** One JSON line per event on the daemon's stderr. The pure core never logs: it returns values, its driver logs them. */
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;
export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

/**
 * As a variable has it, "info" where it says nothing. `RUST_LOG` may carry a filter by module, of which
 * the first plain level counts.
 */
export function logLevelFrom(text: string | undefined): LogLevel {
  const words = (text ?? "").toLowerCase().split(/[,=]/);
  const level = words.find((word) => ["trace", "debug", "info", "warn", "error"].includes(word));
  return level === "trace" ? "debug" : ((level as LogLevel | undefined) ?? "info");
}

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export function jsonLog(options: {
  readonly role: string;
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly wallMs: () => number;
}): Log {
  return (level, event, fields = {}) => {
    if (ranks[level] < ranks[options.level]) return;
    const at = new Date(options.wallMs()).toISOString();
    options.write(`${JSON.stringify({ at, level, role: options.role, event, ...fields })}\n`);
  };
}
