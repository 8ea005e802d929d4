'use client'
import { useEffect } from 'react'

export default function Page() {
  useEffect(() => {
    void import('../conversation.js')
  }, [])
  return <p>Padlock</p>
}
