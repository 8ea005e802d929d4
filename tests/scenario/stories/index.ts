/** All stories, by the sentence that they prove. */
import type { Story } from '../../support/world.ts'
import { story as bobWasOffline } from './bob-was-offline.ts'
import { story as bothWriteFirst } from './both-write-first.ts'
import { story as cutStream } from './cut-stream.ts'
import { story as firstMessage } from './first-message.ts'
import { story as hostileInbox } from './hostile-inbox.ts'
import { story as nobodyThereYet } from './nobody-there-yet.ts'
import { story as nodeLostItsData } from './node-lost-its-data.ts'
import { story as nodeWasDown } from './node-was-down.ts'
import { story as noteToSelf } from './note-to-self.ts'
import { story as sameMoment } from './same-moment.ts'
import { story as secondInstallation } from './second-installation.ts'
import { story as twoHundredMessages } from './two-hundred-messages.ts'

export const stories: readonly { readonly name: string; readonly story: Story }[] = [
  { name: 'alice writes to bob and bob answers', story: firstMessage },
  { name: 'bob reads what alice wrote while he was offline', story: bobWasOffline },
  { name: 'both write first at the same moment', story: bothWriteFirst },
  { name: 'messages of the same moment have one order everywhere', story: sameMoment },
  { name: 'a second installation receives from then on', story: secondInstallation },
  { name: 'a cut stream resumes without a gap', story: cutStream },
  { name: 'a message waits for someone who has not registered yet', story: nobodyThereYet },
  { name: 'a note to self reaches the other devices', story: noteToSelf },
  { name: 'a node that lost its data is filled again', story: nodeLostItsData },
  { name: 'an installation works while the node is down', story: nodeWasDown },
  { name: 'four devices agree on 200 messages through all trouble', story: twoHundredMessages },
  { name: 'every good message arrives through an inbox full of garbage', story: hostileInbox },
]
