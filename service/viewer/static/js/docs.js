/* The page of the API: Swagger UI over the document of this server, with no other server asked. */
'use strict';

/** @type {any} */ (window).SwaggerUIBundle({
  url: new URL('api/v1/openapi.json', document.baseURI).href,
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
