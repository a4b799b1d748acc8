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
    pub async fn run_pod_sandbox(
        &mut self,
        request: impl tonic::IntoRequest<super::RunPodSandboxRequest>,
    ) -> std::result::Result<tonic::Response<super::RunPodSandboxResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/RunPodSandbox");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "RunPodSandbox",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn stop_pod_sandbox(
        &mut self,
        request: impl tonic::IntoRequest<super::StopPodSandboxRequest>,
    ) -> std::result::Result<tonic::Response<super::StopPodSandboxResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/StopPodSandbox");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "StopPodSandbox",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn remove_pod_sandbox(
        &mut self,
        request: impl tonic::IntoRequest<super::RemovePodSandboxRequest>,
    ) -> std::result::Result<tonic::Response<super::RemovePodSandboxResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/RemovePodSandbox");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "RemovePodSandbox",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn create_container(
        &mut self,
        request: impl tonic::IntoRequest<super::CreateContainerRequest>,
    ) -> std::result::Result<tonic::Response<super::CreateContainerResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/CreateContainer");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "CreateContainer",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn start_container(
        &mut self,
        request: impl tonic::IntoRequest<super::StartContainerRequest>,
    ) -> std::result::Result<tonic::Response<super::StartContainerResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/StartContainer");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "StartContainer",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn stop_container(
        &mut self,
        request: impl tonic::IntoRequest<super::StopContainerRequest>,
    ) -> std::result::Result<tonic::Response<super::StopContainerResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/StopContainer");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "StopContainer",
        ));
        self.inner.unary(req, path, codec).await
    }
    pub async fn remove_container(
        &mut self,
        request: impl tonic::IntoRequest<super::RemoveContainerRequest>,
    ) -> std::result::Result<tonic::Response<super::RemoveContainerResponse>, tonic::Status> {
        self.inner
            .ready()
            .await
            .map_err(|e| tonic::Status::unknown(format!("Service was not ready: {}", e.into())))?;
        let codec = tonic_prost::ProstCodec::default();
        let path =
            http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/RemoveContainer");
        let mut req = request.into_request();
        req.extensions_mut().insert(GrpcMethod::new(
            "runtime.v1.RuntimeService",
            "RemoveContainer",
        ));
        self.inner.unary(req, path, codec).await
    }
}
