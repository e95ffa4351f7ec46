/** Readers of messages by their number; its type is not part of @types/ssh2. */
declare module "ssh2/lib/protocol/handlers.js" {
  type MessageHandler = (protocol: object, payload: Uint8Array) => void;
  const handlers: (MessageHandler | undefined)[];
  export default handlers;
}
