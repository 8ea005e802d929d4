/** Accounts of wallets that nobody used before. */
import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'

/**
 * Its EIP-55 form has capitals and small letters, two of each at least, so that in capitals, in small
 * letters or with one letter turned it is another text: of one address in 4,000 that is not so.
 */
export const anAccount = (): PrivateKeyAccount => {
  for (;;) {
    const account = privateKeyToAccount(generatePrivateKey())
    const digits = account.address.slice(2)
    if (/[A-F].*[A-F]/.test(digits) && /[a-f].*[a-f]/.test(digits)) return account
  }
}
