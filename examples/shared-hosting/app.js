// The application. The mount is worked out: yourapplication.fcgi does not show in the URL when .htaccess hides it.
// Nothing here knows how it was started.
export default (req, res) => {
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  res.end(`mount ${JSON.stringify(req.baseUrl)}, path ${req.url}\n`);
};
