/** libolm loaded, and the first call of its wasm. */

import Olm from '@matrix-org/olm'

export const use = async (): Promise<number> => {
  await Olm.init({ locateFile: () => '/olm.wasm' })
  return new Olm.Utility().sha256('x').length
}
