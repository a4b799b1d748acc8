//! The client of `runtime.proto`, as generated: see the module's page.

use tonic::codegen::http::Uri;
use tonic::codegen::*;
#[derive(Debug, Clone)]
pub struct RuntimeServiceClient<T> {
    inner: tonic::client::Grpc<T>,
}
impl<T> RuntimeServiceClient<T>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
{
    pub fn new(inner: T) -> Self {
        let inner = tonic::client::Grpc::new(inner);
        Self { inner }
    }
    pub fn with_origin(inner: T, origin: Uri) -> Self {
        let inner = tonic::client::Grpc::with_origin(inner, origin);
        Self { inner }
    }
    pub fn with_interceptor<F>(
        inner: T,
        interceptor: F,
    ) -> RuntimeServiceClient<InterceptedService<T, F>>
    where
        F: tonic::service::Interceptor,
        T::ResponseBody: Default,
        T: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<
                    <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                >,
            >,
        <T as tonic::codegen::Service<http::Request<tonic::body::Body>>>::Error:
            Into<StdError> + std::marker::Send + std::marker::Sync,
    {
        RuntimeServiceClient::new(InterceptedService::new(inner, interceptor))
    }
    /// Compress requests with the given encoding.
    ///
    /// This requires the server to support it otherwise it might respond with an
    /// error.
    #[must_use]
    pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
        self.inner = self.inner.send_compressed(encoding);
        self
    }
    /// Enable decompressing responses.
    #[must_use]
    pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
        self.inner = self.inner.accept_compressed(encoding);
        self
    }
    /// Limits the maximum size of a decoded message.
    ///
    /// Default: `4MB`
    #[must_use]
    pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
        self.inner = self.inner.max_decoding_message_size(limit);
        self
    }
    /// Limits the maximum size of an encoded message.
    ///
    /// Default: `usize::MAX`
    #[must_use]
    pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
        self.inner = self.inner.max_encoding_message_size(limit);
        self
    }
    pub async fn version(
        &mut self,
        request: impl tonic::IntoRequest<super::VersionRequest>,
    ) -> std::result::Result<tonic::Response<super::VersionResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/Version");
        let mut req = request.into_request();
        req.extensions_mut()
            .insert(GrpcMethod::new("runtime.v1.RuntimeService", "Version"));
        self.inner.unary(req, path, codec).await
    }
    pub async fn pod_sandbox_status(
        &mut self,
        request: impl tonic::IntoRequest<super::PodSandboxStatusRequest>,
    ) -> std::result::Result<tonic::Response<super::PodSandboxStatusResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/PodSandboxStatus");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "PodSandboxStatus",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn list_pod_sandbox(
        &mut self,
        request: impl tonic::IntoRequest<super::ListPodSandboxRequest>,
    ) -> std::result::Result<tonic::Response<super::ListPodSandboxResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/ListPodSandbox");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "ListPodSandbox",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn list_containers(
        &mut self,
        request: impl tonic::IntoRequest<super::ListContainersRequest>,
    ) -> std::result::Result<tonic::Response<super::ListContainersResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/ListContainers");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "ListContainers",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn container_status(
        &mut self,
        request: impl tonic::IntoRequest<super::ContainerStatusRequest>,
    ) -> std::result::Result<tonic::Response<super::ContainerStatusResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/ContainerStatus");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "ContainerStatus",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn get_container_events(
        &mut self,
        request: impl tonic::IntoRequest<super::GetEventsRequest>,
    ) -> std::result::Result<
        tonic::Response<tonic::codec::Streaming<super::ContainerEventResponse>>,
        tonic::Status,
    > {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/GetContainerEvents");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "GetContainerEvents",
        ));
        self.inner.server_streaming(req, path, codec).await
    }
}
