export default {
  entry: './conversation.js',
  output: { path: `${import.meta.dirname}/dist` },
  devServer: { static: 'public', hot: false, liveReload: false },
}
