import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { createConfig, http, WagmiProvider } from 'wagmi'
import { mainnet } from 'wagmi/chains'
import { Chat } from './chat'

const given = new URLSearchParams(location.search)
const config = createConfig({ chains: [mainnet], transports: { [mainnet.id]: http() } })
const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <WagmiProvider config={config}>
        <QueryClientProvider client={new QueryClient()}>
          <Chat node={given.get('node') ?? ''} peer={given.get('peer') ?? ''} />
        </QueryClientProvider>
      </WagmiProvider>
    </StrictMode>,
  )
}
