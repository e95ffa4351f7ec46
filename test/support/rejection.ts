/** What a promise rejects with; a promise that resolves is a failed test. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("Resolved where a rejection was due");
}
