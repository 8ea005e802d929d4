/**
 * Branded types: at run time a plain string, at compile time one that only its parser or builder
 * returns, so that an installation id cannot go where a message id belongs.
 */

declare const brand: unique symbol

/** `Base` with a name that is unique to the type. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }
